import { SandboxError } from './errors.ts';

/** The abort reason when the conversation has ended, as opposed to a caller's cancellation. */
export class SessionEnded extends Error {
  constructor() {
    super('The session ended.');
    this.name = 'SessionEnded';
  }
}

/** The same for a session that another replica serves from now on: what its calls began is not theirs to undo. */
export class SessionMoved extends SessionEnded {}

/** The error of a call whose replica has ended, or lost its session, before the call had a result. */
export function interrupted(tool: string): SandboxError {
  const message = `The replica that ran ${tool} has ended before it answered.`;
  return new SandboxError('unavailable', message, {
    hint: 'Check with session_info or sandbox_list what it has done before you repeat it; sandboxes and commands continue.',
    details: { tool },
  });
}

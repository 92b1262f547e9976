import type { Session } from '@vercel/sandbox';
import type { StartCommand } from '../../engine.ts';
import { stageName } from '../guest/stage-name.ts';

/**
 * Opens the staged input and removes its name before the program starts. `$1` is the name, the rest the
 * program and its arguments.
 */
const SCRIPT = 'exec < "$1"; rm -f -- "$1"; shift; exec -- "$@"';

/** The program to start: the platform passes no standard input, so a shell opens a file first. */
export async function withInput(
  session: Session,
  { cmd, args, stdin }: StartCommand,
  signal: AbortSignal,
): Promise<{ cmd: string; args: string[] }> {
  if (stdin === undefined) return { cmd, args };
  const staged = stageName();
  await session.writeFiles([{ path: staged, content: Buffer.from(stdin) }], { signal });
  return { cmd: 'bash', args: ['-c', SCRIPT, cmd, staged, cmd, ...args] };
}

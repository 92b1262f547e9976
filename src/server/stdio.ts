import type { Readable, Writable } from 'node:stream';
import type { SessionEndReason } from '../registry/types.ts';
import { SessionEnded } from '../shared/session-ended.ts';
import { createServer, type ServerOptions } from './create-server.ts';
import { type SessionEndSources, watchSessionEnd } from './session-end.ts';
import { StdioTransport } from './stdio-transport.ts';

/** The process is gone this long after the end of its session, whatever hangs. */
const EXIT_AFTER_MS = 1_900;

export interface StdioOptions extends ServerOptions {
  /** The standard streams and this process, where nothing else is given. */
  input?: Readable;
  output?: Writable;
  process?: SessionEndSources['process'] & { exit(code: number): void };
}

/**
 * Serves one client on the standard streams until the conversation ends: end of input, a broken pipe, SIGTERM, SIGINT,
 * SIGHUP, or a parent that is gone. Then the calls under way are cancelled and the session is ended. Resolves with how
 * it ended, for the caller to exit; a process that still lives 1.9 s after the end is made to.
 */
export async function serveStdio(options: StdioOptions): Promise<SessionEndReason> {
  const { session, log, input = process.stdin, output = process.stdout } = options;
  const host = options.process ?? process;
  const connection = createServer(options);
  const ended = watchSessionEnd({ input, output, process: host });
  const transport = new StdioTransport(input, output, log);
  await connection.server.connect(transport);

  const reason = await ended;
  log.info({ reason }, 'session ends');
  // It keeps nothing alive, and fires only where something else does.
  setTimeout(() => host.exit(1), EXIT_AFTER_MS).unref();
  const outcomes = await Promise.allSettled([connection.endCalls(new SessionEnded()), session.end(reason)]);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') log.error({ err: outcome.reason }, 'session did not end cleanly');
  }
  await connection.server.close();
  return reason;
}

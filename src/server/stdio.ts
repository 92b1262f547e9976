import type { Readable, Writable } from 'node:stream';
import type { SessionEndReason } from '../registry/types.ts';
import { SessionEnded } from '../shared/session-ended.ts';
import { createServer, type ServerOptions } from './create-server.ts';
import type { Handover } from './front/front.ts';
import { type SessionEndSources, watchSessionEnd } from './session-end.ts';
import { StdioTransport } from './stdio-transport.ts';

/** The process exits this long after the end of its session, even if something hangs. */
const EXIT_AFTER_MS = 1_900;

export interface StdioOptions extends ServerOptions {
  /** What the front has answered already. */
  handover?: Handover | null;
  /** The default streams and process. */
  input?: Readable;
  output?: Writable;
  process?: SessionEndSources['process'] & { exit(code: number): void };
}

/**
 * Serves one client on the standard streams until the conversation ends: end of input, a broken pipe,
 * SIGTERM, SIGINT, SIGHUP, or the parent process gone. Then running calls are cancelled and the session ends.
 * Resolves with the reason, so that the caller can exit; a process still alive 1.9 s after the end is forced
 * to exit.
 */
export async function serveStdio(options: StdioOptions): Promise<SessionEndReason> {
  const { session, log, input = process.stdin, output = process.stdout } = options;
  const host = options.process ?? process;
  const connection = createServer(options);
  const ended = watchSessionEnd({
    input,
    output,
    parent: options.handover?.parent ?? host.ppid,
    process: host,
  });
  const transport = new StdioTransport(input, output, log);
  await connection.server.connect(transport);
  for (const line of options.handover?.replay ?? []) await transport.replay(line);
  options.handover?.release();

  const reason = await ended;
  log.info({ reason }, 'session ends');
  // It does not keep the process alive, and fires only if something else does.
  setTimeout(() => host.exit(1), EXIT_AFTER_MS).unref();
  const outcomes = await Promise.allSettled([connection.endCalls(new SessionEnded()), session.end(reason)]);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') log.error({ err: outcome.reason }, 'session did not end cleanly');
  }
  await connection.server.close();
  return reason;
}

import type { Readable, Writable } from 'node:stream';
import type { SessionEndReason } from '../../registry/types.ts';
import { SessionEnded } from '../../shared/session-ended.ts';
import type { Handover } from '../front/front.ts';
import { discoverResult, type Era, eraOf, isPlainEnvelope } from '../front/revision.ts';
import { instructions } from '../instructions.ts';
import { selectTools } from '../select-tools.ts';
import type { ServerOptions } from '../tool-calls.ts';
import type { Connection } from './connection.ts';
import { type SessionEndSources, watchSessionEnd } from './session-end.ts';
import { StdioTransport } from './stdio-transport.ts';

/** The process exits this long after the end of its session, even if something hangs. */
const EXIT_AFTER_MS = 1_900;

export interface StdioOptions extends ServerOptions {
  /** What the front has answered already. */
  handover?: Handover | null;
  /** Called at the end of the conversation, before that of the session. */
  onEnd?: () => void;
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
  const { session, log, handover, input = process.stdin, output = process.stdout } = options;
  const host = options.process ?? process;
  const parent = handover?.parent ?? host.ppid;
  const ended = watchSessionEnd({ input, output, parent, process: host });
  const transport = new StdioTransport(input, output, log);
  let era = handover?.era ?? null;
  if (era === null) {
    // Without a front, or after one that was asked nothing that decides, the first message is still to come.
    handover?.release();
    era = await Promise.race([openingEra(transport, options), ended.then(() => null)]);
  }
  const connection = era === null ? null : await connect(era, transport, options);
  if (handover?.era) handover.release();

  const reason = await ended;
  log.info({ reason }, 'session ends');
  options.onEnd?.();
  // It does not keep the process alive, and fires only if something else does.
  setTimeout(() => host.exit(1), EXIT_AFTER_MS).unref();
  const calls = connection?.endCalls(new SessionEnded());
  const outcomes = await Promise.allSettled([calls, session.end(reason)]);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') log.error({ err: outcome.reason }, 'session did not end cleanly');
  }
  await connection?.close();
  return reason;
}

/** The adapter for one era; the other one is not loaded. */
async function connect(era: Era, transport: StdioTransport, options: StdioOptions): Promise<Connection> {
  if (era === 'modern') {
    const { connectModern } = await import('./connect-modern.ts');
    return connectModern(transport, options);
  }
  const { connectLegacy } = await import('./connect-legacy.ts');
  return connectLegacy(transport, options, options.handover?.replay ?? []);
}

/** Answers questions for the revisions, which clients of both eras may ask first. */
async function openingEra(transport: StdioTransport, options: StdioOptions): Promise<Era> {
  for (;;) {
    const message = await transport.first();
    const asks = 'id' in message && 'method' in message && message.method === 'server/discover';
    if (!asks || !isPlainEnvelope(message.params)) return eraOf(message);
    const offered = selectTools(options.tools, options.config).map(({ name }) => name);
    const known = options.tools.map(({ name }) => name);
    const result = discoverResult(options.version, instructions(offered, known));
    await transport.answerFirst(`{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(message.id)}}`);
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, systemClock } from '../shared/clock.ts';

/** Frequent enough for a reader, without flooding a client that redraws on each. */
const INTERVAL_MS = 300;
const MAX_LINE_CHARACTERS = 300;
/**
 * The delay between the last notification and the result. Clients built on the SDK forget the token when they
 * read the result, and would report a notification from the same read as unsolicited.
 */
const ANSWER_GAP_MS = 10;

export interface ProgressNotification {
  progressToken: string | number;
  progress: number;
  message: string;
}

export interface Progress {
  readonly wanted: boolean;
  /** Shows a line; of several in quick succession the last one is kept. */
  report(line: string): void;
  /** Sends the pending line. Resolves when every notification is sent; none follows. */
  close(): Promise<void>;
}

/** Progress of one call. Nothing is ever sent without a progress token. */
export function createProgress(
  token: string | number | undefined,
  send: (notification: ProgressNotification) => Promise<void>,
  clock: Clock = systemClock,
): Progress {
  if (token === undefined) return { wanted: false, report: () => {}, close: async () => {} };
  let waiting: string | null = null;
  let timer: ReturnType<Clock['setTimeout']> | null = null;
  let count = 0;
  let closed = false;
  let sentAt = Number.NEGATIVE_INFINITY;
  let sent: Promise<void> = Promise.resolve();

  const flush = (): void => {
    timer = null;
    if (waiting === null) return;
    const message = waiting;
    waiting = null;
    count += 1;
    sentAt = performance.now();
    const notification = { progressToken: token, progress: count, message };
    // A disconnected client needs no progress; the call itself notices the disconnect elsewhere.
    sent = sent.then(() => send(notification)).catch(() => {});
    timer = clock.setTimeout(flush, INTERVAL_MS);
  };

  return {
    wanted: true,
    report(line) {
      if (closed) return;
      const cut = line.slice(0, MAX_LINE_CHARACTERS).replace(/\p{Surrogate}$/u, '');
      waiting = line.length > MAX_LINE_CHARACTERS ? `${cut}…` : line;
      if (timer === null) flush();
    },
    async close() {
      closed = true;
      if (timer !== null) clock.clearTimeout(timer);
      flush();
      if (timer !== null) clock.clearTimeout(timer);
      await sent;
      const apart = sentAt + ANSWER_GAP_MS - performance.now();
      if (apart > 0) await delay(apart);
    },
  };
}

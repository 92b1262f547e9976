/** The server exits whenever and however its client is killed, whatever its log is written to. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { identify, isProcessAlive, type ProcessIdentity } from '../../src/shared/process-identity.ts';
import { generator, SEED } from '../support/seed.ts';
import { SERVER } from '../support/server.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureTimerLag, processorTimes } from '../support/timer-lag.ts';

const CLIENT = fileURLToPath(new URL('fixtures/client.mjs', import.meta.url));
/** `CLIENT_DEATHS=200` tries 200 moments for each kind of stderr. */
const DEATHS = Number(process.env['CLIENT_DEATHS'] ?? 2);
/** From the spawn until well after the first results on an idle machine. */
const LATEST_DEATH_MS = 1_500;
/** The documented limit. A server without a processor, or this process without one, notices later. */
const ENDS_WITHIN_MS = 2_000 * TIMEOUT_FACTOR;
/** Of servers that do not end at all. */
const GIVES_UP_AFTER_MS = 120_000 * TIMEOUT_FACTOR;

/** The server's stderr, and its name in the client's arguments. */
const KINDS = [
  ['a pipe that the client reads', 'pipe'],
  ['a pipe that the client does not read', 'unread'],
  ['a full pipe that stays open and is never read', 'full'],
  ['a pipe whose read end is closed', 'closed'],
  ['closed from the start', 'none'],
  ['a file', 'file'],
] as const;

/** A full named pipe whose read end stays open until the returned function is called. */
function fullPipe(path: string): () => void {
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(fd, Buffer.alloc(4_096, 'x'));
  } catch {
    // EAGAIN: it is full.
  }
  return () => closeSync(fd);
}

/** Kills the client `afterMs` milliseconds after it has spawned the server. Returns the remaining server. */
async function killClient(kind: string, folder: string, afterMs: number): Promise<ProcessIdentity | null> {
  const command = [process.execPath, SERVER, '--state-dir', join(folder, 's'), '--log-level', 'trace'];
  const client = spawn(process.execPath, [CLIENT, kind, join(folder, 'stderr'), ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: folder,
  });
  const [pid] = await once(createInterface({ input: client.stdout }), 'line');
  const server = identify(Number(pid));
  await delay(afterMs);
  client.kill('SIGKILL');
  await once(client, 'exit');
  return server;
}

/**
 * Milliseconds until the process has exited, without those in which it, or this process, waited for a processor;
 * null if it is still running.
 */
async function waitForEnd(server: ProcessIdentity): Promise<number | null> {
  const began = performance.now();
  const lag = measureTimerLag();
  const { waitedMs } = processorTimes(server.pid);
  let waitedLast = waitedMs;
  while (isProcessAlive(server)) {
    waitedLast = Math.max(waitedLast, processorTimes(server.pid).waitedMs);
    if (performance.now() - began > GIVES_UP_AFTER_MS) {
      lag();
      return null;
    }
    await delay(20);
  }
  return performance.now() - began - Math.max(waitedLast - waitedMs, lag());
}

describe.runIf(process.platform === 'linux')('a server whose client is killed', () => {
  it.each(KINDS)('exits soon when its stderr is %s', { timeout: 0 }, async (_, kind) => {
    const random = generator(SEED);
    let longest = 0;
    for (let round = 0; round < DEATHS; round += 1) {
      const folder = await mkdtemp(join(tmpdir(), 'death-'));
      const release = kind === 'full' ? fullPipe(join(folder, 'stderr')) : () => {};
      const afterMs = random() * LATEST_DEATH_MS;
      try {
        const server = await killClient(kind, folder, afterMs);
        if (server === null) continue;
        const endedAfter = await waitForEnd(server);
        if (endedAfter === null) process.kill(server.pid, 'SIGKILL');
        longest = Math.max(longest, endedAfter ?? Number.POSITIVE_INFINITY);
        expect(longest, `seed ${SEED}, round ${round}, killed after ${afterMs} ms`).toBeLessThan(
          ENDS_WITHIN_MS,
        );
      } finally {
        release();
        // The next start removes a runtime trial that the server's end has interrupted.
        execFileSync(process.execPath, [SERVER, 'clean', '--state-dir', join(folder, 's')], {
          stdio: 'ignore',
        });
        await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      }
    }
    if (DEATHS > 2) process.stderr.write(`${kind}: ${DEATHS} clients, at most ${Math.round(longest)} ms\n`);
  });
});

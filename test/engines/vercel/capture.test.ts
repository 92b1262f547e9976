import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { captureName, fullestCapture } from '../../../src/engines/vercel/commands/output-captures.ts';
import { CaptureLog, capturedTotals, readCaptured } from '../../../src/engines/vercel/commands/output-log.ts';
import { newDigests, Replay } from '../../../src/engines/vercel/commands/stream-resume.ts';

let folder = '';
let log: CaptureLog;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'capture-'));
  log = new CaptureLog(join(folder, 'log'));
});

afterEach(() => {
  log.close();
  rmSync(folder, { recursive: true });
});

function text(stream: 'stdout' | 'stderr' | 'both', offset = 0, limit = 1_000_000): string {
  log.flush();
  const { chunks } = readCaptured(log.directory, { stream, offset, limit }, log.totals);
  return Buffer.concat(chunks.map(({ data }) => data)).toString();
}

describe('a captured log', () => {
  it('is read by stream, by page and from its end', () => {
    log.append('stdout', Buffer.from('one '));
    log.append('stderr', Buffer.from('two '));
    log.append('stdout', Buffer.from('three'));
    expect([text('both'), text('stdout'), text('stderr')]).toEqual(['one two three', 'one three', 'two ']);
    expect([text('both', 2, 4), text('stdout', -5), text('stderr', 9)]).toEqual(['e tw', 'three', '']);
    const request = { stream: 'both' as const, offset: 0, limit: 100 };
    expect(readCaptured(log.directory, request, log.totals)).toMatchObject({
      chunks: [
        { stream: 'stdout', offset: 0 },
        { stream: 'stderr', offset: 4 },
        { stream: 'stdout', offset: 8 },
      ],
      nextOffset: 13,
      totalBytes: 13,
      droppedBytes: 0,
    });
  });

  it('keeps head and tail of a flood and counts exactly what is missing', () => {
    const piece = Buffer.alloc(100_000, 'x');
    for (let n = 0; n < 500; n += 1) log.append(n % 2 === 0 ? 'stdout' : 'stderr', piece);
    log.append('stdout', Buffer.from('the end'));
    log.flush();
    for (const stream of ['both', 'stdout', 'stderr'] as const) {
      let [kept, dropped, offset] = [0, 0, 0];
      const total = readCaptured(log.directory, { stream, offset: 0, limit: 1 }, log.totals).totalBytes;
      while (offset < total) {
        const page = readCaptured(log.directory, { stream, offset, limit: 3_000_000 }, log.totals);
        kept += page.chunks.reduce((sum, { data }) => sum + data.length, 0);
        dropped += page.droppedBytes;
        offset = page.nextOffset;
      }
      expect(kept + dropped, stream).toBe(total);
      expect(dropped, stream).toBeGreaterThan(0);
    }
    expect(log.totals).toEqual({ stdout: 25_000_007, stderr: 25_000_000 });
    expect(text('stdout', -7)).toBe('the end');
    expect(capturedTotals(log.directory)).toEqual(log.totals);
  });
});

describe('a new reading', () => {
  const digests = newDigests();
  const read = (pieces: ['stdout' | 'stderr', string][], of = digests): Replay => {
    const replay = new Replay(log, of);
    for (const [stream, data] of pieces) replay.take(stream, data);
    return replay;
  };

  it('loses and doubles nothing, however the platform cuts its pieces', () => {
    const own = newDigests();
    read(
      [
        ['stdout', 'first '],
        ['stderr', 'wrong '],
        ['stdout', 'sec'],
      ],
      own,
    );
    const again = read(
      [
        ['stdout', 'fi'],
        ['stdout', 'rst second '],
        ['stderr', 'wrong again'],
      ],
      own,
    );
    expect(again.consistent).toBe(true);
    expect([text('stdout'), text('stderr')]).toEqual(['first second ', 'wrong again']);
  });

  it('joins characters that were cut in the middle, and begins anew inside of one', () => {
    const own = newDigests();
    read(
      [
        ['stdout', 'a\ud83d'],
        ['stderr', 'ä'],
        ['stdout', '\ude00b'],
      ],
      own,
    );
    expect(text('stdout')).toBe('a😀b');
    read(
      [
        ['stdout', 'a\ud83d'],
        ['stdout', '\ude00bü'],
      ],
      own,
    );
    expect([text('stdout'), text('stderr')]).toEqual(['a😀bü', 'ä']);
  });

  it('says where the platform tells another beginning than before', () => {
    const own = newDigests();
    read([['stdout', 'the beginning']], own);
    expect(read([['stdout', 'beginning and more']], own).consistent).toBe(false);
  });
});

describe('the captures of a command', () => {
  function capture(name: string, stdout: number, stderr: number): CaptureLog {
    const made = new CaptureLog(join(folder, captureName(name)));
    made.append('stdout', Buffer.alloc(stdout, 'o'));
    made.append('stderr', Buffer.alloc(stderr, 'e'));
    made.close();
    return made;
  }

  it('are told by the one of this process where no other holds more', async () => {
    capture('a', 10, 0);
    const own = capture('b', 4, 6);
    expect(await fullestCapture(folder, own)).toEqual({
      capture: captureName('b'),
      stdoutBytes: 10,
      stderrBytes: 6,
    });
    expect(await fullestCapture(join(folder, 'log'), null)).toEqual({
      capture: null,
      stdoutBytes: 0,
      stderrBytes: 0,
    });
  });

  it('are told by the fullest, and what only others held is counted as missing', async () => {
    capture('a', 500, 0);
    capture('b', 100, 600);
    const fullest = await fullestCapture(folder, capture('c', 3, 3));
    expect(fullest).toEqual({ capture: captureName('b'), stdoutBytes: 500, stderrBytes: 600 });
    const request = { stream: 'stdout' as const, offset: 0, limit: 1_000 };
    const totals = { stdout: fullest.stdoutBytes, stderr: fullest.stderrBytes };
    expect(readCaptured(join(folder, captureName('b')), request, totals)).toMatchObject({
      chunks: [{ offset: 0, data: Buffer.alloc(100, 'o') }],
      totalBytes: 500,
      droppedBytes: 400,
    });
  });
});

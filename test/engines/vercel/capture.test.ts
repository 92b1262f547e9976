import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OutputSlice, ReadOutput } from '../../../src/engines/engine.ts';
import { LogWriter } from '../../../src/engines/output-log/log-writer.ts';
import { countLines, readLog, readLogTotals } from '../../../src/engines/output-log/read-log.ts';
import { captureName, fullestCapture } from '../../../src/engines/vercel/commands/output-captures.ts';
import { newDigests, ResumedReading } from '../../../src/engines/vercel/commands/stream-resume.ts';

let folder = '';
let log: LogWriter;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'capture-'));
  log = new LogWriter(join(folder, 'log'));
});

afterEach(() => {
  log.close();
  rmSync(folder, { recursive: true });
});

function read(
  request: ReadOutput,
  { directory, totals }: Pick<LogWriter, 'directory' | 'totals'> = log,
): Promise<OutputSlice> {
  const { stdout, stderr } = totals;
  return readLog(directory, request, { stdout, stderr, both: stdout + stderr }[request.stream]);
}

async function text(stream: ReadOutput['stream'], offset = 0, limit = 1_000_000): Promise<string> {
  log.flush();
  const { chunks } = await read({ stream, offset, limit });
  return Buffer.concat(chunks.map(({ data }) => data)).toString();
}

describe('a captured log', () => {
  it('can be read by stream, by page and from its end', async () => {
    log.append('stdout', Buffer.from('one '));
    log.append('stderr', Buffer.from('two '));
    log.append('stdout', Buffer.from('three'));
    expect([await text('both'), await text('stdout'), await text('stderr')]).toEqual([
      'one two three',
      'one three',
      'two ',
    ]);
    expect([await text('both', 2, 4), await text('stdout', -5), await text('stderr', 9)]).toEqual([
      'e tw',
      'three',
      '',
    ]);
    const request = { stream: 'both' as const, offset: 0, limit: 100 };
    expect(await read(request)).toMatchObject({
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

  it('keeps head and tail of a flood and counts exactly what is missing', async () => {
    const piece = Buffer.alloc(100_000, 'x');
    for (let n = 0; n < 500; n += 1) log.append(n % 2 === 0 ? 'stdout' : 'stderr', piece);
    log.append('stdout', Buffer.from('the end'));
    log.flush();
    for (const stream of ['both', 'stdout', 'stderr'] as const) {
      let [kept, dropped, offset] = [0, 0, 0];
      const total = (await read({ stream, offset: 0, limit: 1 })).totalBytes;
      while (offset < total) {
        const page = await read({ stream, offset, limit: 3_000_000 });
        kept += page.chunks.reduce((sum, { data }) => sum + data.length, 0);
        dropped += page.droppedBytes;
        offset = page.nextOffset;
      }
      expect(kept + dropped, stream).toBe(total);
      expect(dropped, stream).toBeGreaterThan(0);
    }
    expect(log.totals).toEqual({ stdout: 25_000_007, stderr: 25_000_000 });
    expect(await text('stdout', -7)).toBe('the end');
    expect(await readLogTotals(log.directory)).toEqual(log.totals);
  });

  it('counts the lines that it no longer holds', async () => {
    for (let n = 0; n < 500; n += 1) log.append('stdout', Buffer.from('12345678\n'.repeat(10_000)));
    log.append('stderr', Buffer.from('one\n'));
    log.flush();
    const { stdout } = log.totals;
    expect(
      (await read({ stream: 'stdout', offset: 9_000_000, limit: 1_000_000 })).droppedBytes,
    ).toBeGreaterThan(0);
    expect(await countLines(log.directory, { stream: 'stdout', start: 0, end: stdout })).toBe(5_000_000);
    expect(await countLines(log.directory, { stream: 'stderr', start: 0, end: 4 })).toBe(1);
  });

  it('of version 0.1.0 is read', async () => {
    const header = Buffer.alloc(16);
    header.writeBigUInt64LE(3n, 0);
    const record = (tag: number, data: string) => {
      const head = Buffer.alloc(5);
      head.writeUInt8(tag, 0);
      head.writeUInt32LE(data.length, 1);
      return Buffer.concat([head, Buffer.from(data)]);
    };
    const segment = Buffer.concat([header, record(1, 'one'), record(2, 'two\n'), record(1, ' more')]);
    const directory = join(folder, 'old');
    mkdirSync(directory);
    writeFileSync(join(directory, '00000000.log'), segment);
    const totals = await readLogTotals(directory);
    expect(totals).toEqual({ stdout: 11, stderr: 4 });
    expect(await read({ stream: 'both', offset: 0, limit: 100 }, { directory, totals })).toEqual({
      chunks: [
        { stream: 'stdout', offset: 3, data: Buffer.from('one') },
        { stream: 'stderr', offset: 6, data: Buffer.from('two\n') },
        { stream: 'stdout', offset: 10, data: Buffer.from(' more') },
      ],
      nextOffset: 15,
      totalBytes: 15,
      droppedBytes: 3,
    });
    expect(await countLines(directory, { stream: 'stderr', start: 0, end: 4 })).toBeNull();
  });
});

describe('a new read', () => {
  const digests = newDigests();
  const replay = (pieces: ['stdout' | 'stderr', string][], of = digests): ResumedReading => {
    const reading = new ResumedReading(log, of);
    for (const [stream, data] of pieces) reading.take(stream, data);
    return reading;
  };

  it('neither loses nor repeats anything, however the platform splits its chunks', async () => {
    const own = newDigests();
    replay(
      [
        ['stdout', 'first '],
        ['stderr', 'wrong '],
        ['stdout', 'sec'],
      ],
      own,
    );
    const again = replay(
      [
        ['stdout', 'fi'],
        ['stdout', 'rst second '],
        ['stderr', 'wrong again'],
      ],
      own,
    );
    expect(again.consistent).toBe(true);
    expect([await text('stdout'), await text('stderr')]).toEqual(['first second ', 'wrong again']);
  });

  it('joins split characters, and can resume inside one', async () => {
    const own = newDigests();
    replay(
      [
        ['stdout', 'a\ud83d'],
        ['stderr', 'ä'],
        ['stdout', '\ude00b'],
      ],
      own,
    );
    expect(await text('stdout')).toBe('a😀b');
    replay(
      [
        ['stdout', 'a\ud83d'],
        ['stdout', '\ude00bü'],
      ],
      own,
    );
    expect([await text('stdout'), await text('stderr')]).toEqual(['a😀bü', 'ä']);
  });

  it("reports where the platform's data differs from what was read before", async () => {
    const own = newDigests();
    replay([['stdout', 'the beginning']], own);
    expect(replay([['stdout', 'beginning and more']], own).consistent).toBe(false);
  });
});

describe('the captures of a command', () => {
  function capture(name: string, stdout: number, stderr: number): LogWriter {
    const made = new LogWriter(join(folder, captureName(name)));
    made.append('stdout', Buffer.alloc(stdout, 'o'));
    made.append('stderr', Buffer.alloc(stderr, 'e'));
    made.close();
    return made;
  }

  it("use this process's capture if no other contains more", async () => {
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

  it('use the fullest capture, and count what only others contained as missing', async () => {
    capture('a', 500, 0);
    capture('b', 100, 600);
    const fullest = await fullestCapture(folder, capture('c', 3, 3));
    expect(fullest).toEqual({ capture: captureName('b'), stdoutBytes: 500, stderrBytes: 600 });
    const request = { stream: 'stdout' as const, offset: 0, limit: 1_000 };
    const totals = { stdout: fullest.stdoutBytes, stderr: fullest.stderrBytes };
    expect(await read(request, { directory: join(folder, captureName('b')), totals })).toMatchObject({
      chunks: [{ offset: 0, data: Buffer.alloc(100, 'o') }],
      totalBytes: 500,
      droppedBytes: 400,
    });
  });
});

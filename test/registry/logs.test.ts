import { describe, expect, it } from 'vitest';
import type { LogCursor, Logs, LogsRequest } from '../../src/registry/types.ts';
import { linearPattern } from '../../src/shared/text/linear-pattern.ts';
import { WrittenOutput } from '../fakes/written-output.ts';
import { neverAborted } from './support/registry.ts';

type Wish = Partial<LogsRequest> & { grep?: string };

function read(output: WrittenOutput, wish: Wish = {}, signal = neverAborted): Promise<Logs> {
  const { grep, ...rest } = wish;
  const request = {
    cursor: null,
    limit: 100,
    stream: 'both' as const,
    context: 0,
    matches: grep === undefined ? null : linearPattern(grep, 'grep'),
    waitMs: 0,
    ...rest,
  };
  return output.handle.logs(request, signal);
}

/** `stream data` of every line, page by page to the end. */
async function readAll(output: WrittenOutput, wish: Wish = {}): Promise<string[]> {
  const lines: string[] = [];
  let cursor: LogCursor | null = null;
  for (let page = 0; page < 1_000; page++) {
    const logs = await read(output, { ...wish, cursor });
    lines.push(...logs.lines.map(({ stream, data }) => `${stream} ${data}`));
    const moved: boolean = JSON.stringify(logs.cursor) !== JSON.stringify(cursor);
    cursor = logs.cursor;
    if (logs.done || (logs.lines.length === 0 && !moved)) return lines;
  }
  throw new Error('the cursor never came to the end');
}

function interleaved(): WrittenOutput {
  return new WrittenOutput()
    .write('stdout', 'one\ntw')
    .write('stderr', 'warn')
    .write('stdout', 'o\nthree\n')
    .write('stderr', 'ing\n')
    .write('stdout', 'four');
}

describe('readLogs', () => {
  it('returns lines by stream, in order of completion', async () => {
    const logs = await read(interleaved().finish());
    expect(logs.lines.map(({ stream, data }) => `${stream} ${data}`)).toEqual([
      'stdout one',
      'stdout two',
      'stdout three',
      'stderr warning',
      'stdout four',
    ]);
    expect(logs.done).toBe(true);
  });

  it.each([1, 2, 3, 4, 5])('loses and repeats nothing across pages of %i', async (limit) => {
    const whole = await readAll(interleaved().finish());
    expect(await readAll(interleaved().finish(), { limit })).toEqual(whole);
  });

  it('shows the unfinished line of a running command, marked, and the whole line later', async () => {
    const output = interleaved();
    const first = await read(output);
    expect(first.lines.map(({ data }) => data)).toEqual(['one', 'two', 'three', 'warning', 'four']);
    expect(first.lines.map(({ partial }) => partial === true)).toEqual([false, false, false, false, true]);
    expect(first.done).toBe(false);
    output.write('stdout', ' and a half\n').finish();
    const second = await read(output, { cursor: first.cursor });
    expect(second).toMatchObject({ lines: [{ stream: 'stdout', data: 'four and a half' }], done: true });
  });

  it('shows only unfinished lines of the requested stream that match the pattern', async () => {
    const output = new WrittenOutput().write('stdout', 'Password: ').write('stderr', 'half');
    const shown = async (wish: Wish) => (await read(output, wish)).lines.map(({ data }) => data);
    expect(await shown({})).toEqual(['Password: ', 'half']);
    expect(await shown({ stream: 'stderr' })).toEqual(['half']);
    expect(await shown({ grep: 'word' })).toEqual(['Password: ']);
    expect(await shown({ grep: 'other' })).toEqual([]);
  });

  it('continues with processes left running after the end of a command', async () => {
    const output = new WrittenOutput().write('stdout', 'early\nla').finish({ leftBehind: true });
    const first = await read(output);
    expect(first.lines).toEqual([
      { stream: 'stdout', data: 'early' },
      { stream: 'stdout', data: 'la', partial: true },
    ]);
    expect(first).toMatchObject({ done: false, leftBehind: true });
    const rest = read(output, { cursor: first.cursor, waitMs: 20_000 });
    output.write('stdout', 'te\n').finish();
    expect((await rest).lines).toEqual([{ stream: 'stdout', data: 'late' }]);
    expect(await read(output, { cursor: (await rest).cursor })).toMatchObject({ lines: [], done: true });
  });

  it('returns one stream only', async () => {
    expect(await readAll(interleaved().finish(), { stream: 'stderr' })).toEqual(['stderr warning']);
  });

  it('keeps both streams in order while one holds an unfinished line', async () => {
    const output = new WrittenOutput().write('stdout', 'prompt> ');
    for (let index = 0; index < 40_000; index++) output.write('stderr', `noise ${index}\n`);
    const lines = await readAll(output.finish(), { limit: 1_000 });
    expect(lines.filter((line) => line.startsWith('stderr'))).toHaveLength(40_000);
    expect(new Set(lines).size).toBe(lines.length);
    expect(lines).toContain('stdout prompt> ');
  });

  it('searches text of other encodings as it is shown, and counts the binary data that it cannot search', async () => {
    const output = new WrittenOutput()
      .write('stdout', Buffer.from('f\u00fcr\n', 'latin1'))
      .write('stdout', Buffer.from('Zo\u00eb needle\n', 'latin1'))
      .write('stdout', Buffer.from([0, 1, 2, 10]))
      .write('stdout', 'a needle\n')
      .finish();
    const all = await read(output);
    expect(all.lines.map(({ data }) => data)).toEqual([
      'f\uFFFDr',
      'Zo\uFFFD needle',
      '[3 bytes of binary data]',
      'a needle',
    ]);
    expect(all).toMatchObject({ unsearchedBytes: 0, isReplaced: true });
    const found = await read(output, { grep: '^(Zo\uFFFD|a) needle' });
    expect(found.lines.map(({ data }) => data)).toEqual(['Zo\uFFFD needle', 'a needle']);
    expect(found).toMatchObject({ unsearchedBytes: 3, isReplaced: true });
    expect(await read(output, { grep: 'bytes of' })).toMatchObject({ lines: [], unsearchedBytes: 3 });
  });

  it.each([1, 2, 3])('counts what a search left out once, with %i lines of context', async (context) => {
    const output = new WrittenOutput();
    for (let index = 0; index < 20; index++) output.write('stdout', index % 3 === 0 ? 'x\n' : '\0\0\n');
    output.finish();
    let unsearched = 0;
    let cursor: LogCursor | null = null;
    for (let done = false; !done; ) {
      const page: Logs = await read(output, { grep: 'x', context, limit: 2, cursor });
      unsearched += page.unsearchedBytes;
      ({ cursor, done } = page);
    }
    expect(unsearched).toBe(13 * 2);
  });

  it('splits a very long line without splitting its characters', async () => {
    const lines = await readAll(
      new WrittenOutput().write('stdout', `${'é'.repeat(100_000)}\nend\n`).finish(),
    );
    expect(lines.at(-1)).toBe('stdout end');
    expect(lines.join('')).not.toContain('\uFFFD');
    expect(lines[0]).toMatch(/more characters$/);
  });

  it('reports dropped bytes, and ends the line before them', async () => {
    const output = new WrittenOutput()
      .write('stdout', 'a\ncut he')
      .lose('stdout', 500)
      .write('stdout', 're\nb\n')
      .finish();
    const logs = await read(output);
    expect(logs.lines.map(({ data }) => data)).toEqual(['a', 'cut he', 're', 'b']);
    expect(logs.droppedBytes).toBe(500);
    expect((await read(output, { cursor: logs.cursor })).droppedBytes).toBe(0);
  });

  it('shows whole characters around dropped bytes, and counts partial ones as dropped', async () => {
    const euro = Buffer.from('€');
    const output = new WrittenOutput()
      .write('stdout', Buffer.concat([Buffer.from('head '), euro.subarray(0, 2)]))
      .lose('stdout', 500)
      .write('stdout', Buffer.concat([euro.subarray(1), Buffer.from(' tail\nend\n')]))
      .finish();
    const logs = await read(output);
    expect(logs.lines.map(({ data }) => data)).toEqual(['head ', ' tail', 'end']);
    expect(logs.droppedBytes).toBe(2 + 500 + 2);
    for (const limit of [1, 2]) {
      expect(await readAll(output, { limit })).toEqual(['stdout head ', 'stdout  tail', 'stdout end']);
    }
  });

  it('keeps every page of a long log within its size', async () => {
    const text = Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`).join('');
    const lines = await readAll(new WrittenOutput().write('stdout', text).finish(), { limit: 1_000 });
    expect(lines).toHaveLength(30_000);
  });

  it('removes escapes and carriage returns from lines', async () => {
    const output = new WrittenOutput().write('stdout', '\u001b[1mbold\u001b[0m\r\n10%\r20%\r\n').finish();
    expect(await readAll(output)).toEqual(['stdout bold', 'stdout 20%']);
  });
});

describe('grep', () => {
  const numbers = (): WrittenOutput =>
    new WrittenOutput()
      .write('stdout', Array.from({ length: 50 }, (_, index) => `${index}\n`).join(''))
      .finish();

  it('selects matching lines', async () => {
    expect(await readAll(numbers(), { grep: '^.?7$' })).toEqual(
      [7, 17, 27, 37, 47].map((each) => `stdout ${each}`),
    );
  });

  it.each([1, 3, 100])('returns context lines once, across pages of %i', async (limit) => {
    const lines = await readAll(numbers(), { grep: '^(9|11|30)$', context: 2, limit });
    const expected = [7, 8, 9, 10, 11, 12, 13, 28, 29, 30, 31, 32];
    expect(lines).toEqual(expected.map((each) => `stdout ${each}`));
  });

  it('keeps the lines before a match that comes later', async () => {
    const output = new WrittenOutput().write('stdout', 'a\nb\n');
    const first = await read(output, { grep: 'match', context: 2 });
    expect(first.lines).toEqual([]);
    output.write('stdout', 'match\n').finish();
    const second = await read(output, { grep: 'match', context: 2, cursor: first.cursor });
    expect(second.lines.map(({ data }) => data)).toEqual(['a', 'b', 'match']);
  });

  it('takes linear time for a pattern built to backtrack', async () => {
    const output = new WrittenOutput().write('stdout', `${'a'.repeat(10_000)}\n`).finish();
    expect(await readAll(output, { grep: '(a+)+$b' })).toEqual([]);
  });

  it('yields to other work during a long search, and ends with its call', async () => {
    const output = new WrittenOutput().write('stdout', `${'a'.repeat(400_000)}\n`).finish();
    const controller = new AbortController();
    const logs = read(output, { grep: '[a-z]{0,140}[YZ]' }, controller.signal);
    setImmediate(() => controller.abort());
    await expect(logs).rejects.toMatchObject({ code: 'cancelled' });
  });

  it.each(['[a-z]{0,200}[^a]', '([a-c]?){999}$'])('rejects %s, which would take too long', (pattern) => {
    expect(() => linearPattern(pattern, 'grep')).toThrow(
      /The `grep` pattern compiles to \d+ steps; the maximum is 300/,
    );
  });

  it.each(['(', 'a{2,1}', '(?=x)', '\\1'])('rejects %s and explains why', (pattern) => {
    expect(() => linearPattern(pattern, 'grep')).toThrow(/Invalid `grep` pattern ".*"/);
  });
});

describe('waiting', () => {
  it('returns the first new line', async () => {
    const output = new WrittenOutput();
    const logs = read(output, { waitMs: 20_000 });
    output.write('stdout', 'part').write('stdout', ' and rest\n');
    expect((await logs).lines).toEqual([{ stream: 'stdout', data: 'part and rest' }]);
  });

  it('returns a prompt, and waits for what follows one already shown', async () => {
    const output = new WrittenOutput().write('stdout', 'Continue? ');
    const first = await read(output, { waitMs: 20_000 });
    expect(first.lines).toEqual([{ stream: 'stdout', data: 'Continue? ', partial: true }]);
    const second = read(output, { cursor: first.cursor, waitMs: 20_000 });
    output.write('stdout', 'yes\n');
    expect((await second).lines).toEqual([{ stream: 'stdout', data: 'Continue? yes' }]);
  });

  it('returns when the command finishes silently', async () => {
    const output = new WrittenOutput();
    const logs = read(output, { waitMs: 20_000 });
    output.finish();
    expect(await logs).toMatchObject({ lines: [], done: true });
  });

  it('returns nothing on timeout', async () => {
    expect(await read(new WrittenOutput(), { waitMs: 20 })).toMatchObject({ lines: [], done: false });
  });

  it('ends with the call', async () => {
    const controller = new AbortController();
    const logs = read(new WrittenOutput(), { waitMs: 20_000 }, controller.signal);
    controller.abort();
    await expect(logs).rejects.toMatchObject({ code: 'cancelled' });
  });
});

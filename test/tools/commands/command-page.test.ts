import { describe, expect, it } from 'vitest';
import { type OutputPage, readOutputPage } from '../../../tools/commands/command-page.ts';
import { WrittenOutput } from '../../fakes/written-output.ts';
import { neverAborted } from '../../registry/support/registry.ts';

type Wish = Partial<Parameters<typeof readOutputPage>[2]>;

function page(output: WrittenOutput, wish: Wish = {}): Promise<OutputPage> {
  const request = { stream: 'both' as const, offset: 0, limit: 1_000, encoding: 'utf8' as const, ...wish };
  return readOutputPage(output.handle, output.command, request, neverAborted);
}

describe('readOutputPage', () => {
  it('pages to the end without splitting a character', async () => {
    const text = 'aé€😀'.repeat(50);
    for (const limit of [4, 5, 6, 7, 64]) {
      const output = new WrittenOutput().write('stdout', text).finish();
      let read = '';
      let offset: number | null = 0;
      while (offset !== null) {
        const next: OutputPage = await page(output, { offset, limit });
        read += next.content;
        offset = next.nextOffset;
      }
      expect(read).toBe(text);
    }
  });

  it('returns exact bytes as base64', async () => {
    const bytes = Buffer.from([0, 255, 1, 254]);
    const output = new WrittenOutput().write('stdout', bytes).finish();
    expect((await page(output, { encoding: 'base64' })).content).toBe(bytes.toString('base64'));
    expect((await page(output)).content).toContain('4 bytes of binary data; read with command_output');
  });

  it('shows bytes that are not UTF-8 replaced, with a note and no more than what was written', async () => {
    const output = new WrittenOutput().write('stdout', Buffer.from('\u00e9t\u00e9\n', 'latin1')).finish();
    expect(await page(output)).toMatchObject({
      content: '\uFFFDt\uFFFD\n',
      note: expect.stringContaining('base64'),
    });
    expect((await page(output, { encoding: 'base64' })).note).toBeNull();
    expect((await page(new WrittenOutput().write('stdout', 'été').finish())).note).toBeNull();
  });

  it('selects a stream, and counts from the end', async () => {
    const output = new WrittenOutput()
      .write('stdout', 'out1\n')
      .write('stderr', 'err\n')
      .write('stdout', 'out2\n')
      .finish();
    expect((await page(output, { stream: 'stderr' })).content).toBe('err\n');
    expect((await page(output)).content).toBe('out1\nerr\nout2\n');
    expect(await page(output, { stream: 'stdout', offset: -5 })).toMatchObject({
      content: 'out2\n',
      offset: 5,
    });
    expect(await page(output, { offset: -500 })).toMatchObject({ offset: 0 });
  });

  it('has a next offset while more may come', async () => {
    const output = new WrittenOutput().write('stdout', 'abc');
    expect(await page(output)).toMatchObject({ content: 'abc', nextOffset: 3 });
    expect(await page(output, { offset: 3 })).toMatchObject({ content: '', nextOffset: 3 });
    output.finish();
    expect(await page(output, { offset: 3 })).toMatchObject({ content: '', nextOffset: null });
    expect(await page(output, { offset: 900 })).toMatchObject({ content: '', nextOffset: null });
  });

  it('treats an offset past the end as the end', async () => {
    const output = new WrittenOutput().write('stdout', 'abc');
    const end = { offset: 3, content: '', totalBytes: 3, droppedBytes: 0 };
    expect(await page(output, { offset: 900 })).toMatchObject({ ...end, nextOffset: 3 });
    expect(await page(output, { offset: Number.MAX_SAFE_INTEGER })).toMatchObject({ ...end, nextOffset: 3 });
    output.finish();
    expect(await page(output, { offset: 900 })).toMatchObject({ ...end, nextOffset: null });
  });

  it('starts at the beginning of the character at an offset, and never further back', async () => {
    const text = 'aé€😀'.repeat(20);
    const bytes = Buffer.from(text);
    const output = new WrittenOutput().write('stdout', text).finish();
    for (let offset = 0; offset < bytes.length; offset++) {
      for (const limit of [4, 7, 500]) {
        const read = await page(output, { offset, limit });
        expect(bytes.subarray(read.offset, read.nextOffset ?? bytes.length).toString()).toBe(read.content);
        expect(text).toContain(read.content);
        expect(read.offset).toBeLessThanOrEqual(offset);
        expect(read.nextOffset ?? bytes.length).toBeGreaterThan(offset);
        expect(Buffer.byteLength(read.content)).toBeLessThanOrEqual(limit);
        expect(read.droppedBytes).toBe(0);
      }
    }
    expect((await page(output, { offset: -2 })).content).toBe('😀');
  });

  it('repeats no invalid UTF-8 byte', async () => {
    const latin1 = Buffer.from('a line of Latin-1 \u00e9\u00ab that is long \u0092 enough', 'latin1');
    const output = new WrittenOutput().write('stdout', latin1).finish();
    for (const limit of [4, 5, 9]) {
      let length = 0;
      for (let offset: number | null = 0; offset !== null; ) {
        const next: OutputPage = await page(output, { offset, limit });
        expect(next.offset).toBe(offset);
        length += (next.nextOffset ?? latin1.length) - offset;
        offset = next.nextOffset;
      }
      expect(length).toBe(latin1.length);
    }
  });

  it('defers a whole escape sequence to the next page', async () => {
    const output = new WrittenOutput().write('stdout', 'one \u001b[1;31mred\u001b[0m two').finish();
    for (let limit = 8; limit < 30; limit++) {
      let read = '';
      for (let offset: number | null = 0; offset !== null; ) {
        const next: OutputPage = await page(output, { offset, limit });
        read += next.content;
        offset = next.nextOffset;
      }
      expect(read).toBe('one red two');
    }
  });

  it('skips a gap of any length in one page, even one that splits characters', async () => {
    const head = Buffer.from('head €').subarray(0, -1);
    const tail = Buffer.from('€ tail').subarray(1);
    const output = new WrittenOutput()
      .write('stdout', head)
      .lose('stdout', 10_000_000)
      .write('stdout', tail)
      .finish();
    const first = await page(output);
    expect(first).toMatchObject({ content: 'head ', nextOffset: 5, droppedBytes: 0 });
    const second = await page(output, { offset: 5 });
    expect(second).toMatchObject({ content: ' tail', droppedBytes: 2 + 10_000_000 + 2, nextOffset: null });
    const exact = await page(output, { offset: head.length, encoding: 'base64' });
    expect(exact).toMatchObject({ content: tail.toString('base64'), droppedBytes: 10_000_000 });
    const within = await page(output, { offset: 5_000 });
    expect(within).toMatchObject({ content: ' tail', offset: second.offset });
    expect(within.droppedBytes).toBe(within.offset - 5_000);
  });

  it('reports what was dropped', async () => {
    const output = new WrittenOutput().lose('stdout', 100).write('stdout', 'kept').finish();
    expect(await page(output)).toMatchObject({ content: 'kept', offset: 100, droppedBytes: 100 });
    const cut = new WrittenOutput().write('stdout', 'ab').lose('stdout', 10).write('stdout', 'cd').finish();
    const first = await page(cut);
    expect(first).toMatchObject({ content: 'ab', nextOffset: 2, droppedBytes: 0 });
    expect(await page(cut, { offset: 2 })).toMatchObject({
      content: 'cd',
      droppedBytes: 10,
      nextOffset: null,
    });
  });
});

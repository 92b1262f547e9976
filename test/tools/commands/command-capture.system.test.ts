import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { content, numbers } from '../../fixtures/seeded-output.mjs';
import { ALLOW_FIXTURES, createWithFixtures } from '../../support/fixtures.ts';
import { SEED } from '../../support/seed.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

const GB = 1_073_741_824;

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ args: ALLOW_FIXTURES });
  await createWithFixtures(server);
});
afterAll(() => server.close());

type Kind = 'binary' | 'text';

async function write(
  seed: number,
  bytes: number,
  kind: Kind,
  expected = content(seed, bytes, kind),
): Promise<Record<string, unknown>> {
  const args = ['seeded-output.mjs', String(seed), String(bytes), kind];
  const { structured } = await server.call('sandbox_run_command', { cmd: 'node', args });
  const { command_id } = structured;
  // On a slow machine the output continues after the call has returned.
  const ended = structured['exit_code'] === null ? await waited(command_id) : structured;
  expect(ended).toMatchObject({ exit_code: 0, stdout_bytes: expected.length });
  return ended;
}

async function waited(command_id: unknown): Promise<Record<string, unknown>> {
  for (;;) {
    const { structured } = await server.call('command_wait', { command_id });
    if (structured['exit_code'] !== null) return structured;
  }
}

interface Pages {
  /** The bytes of each page, with their offset. */
  pages: { offset: number; bytes: Buffer }[];
  dropped: number;
  total: number;
}

/** Every page of a stream; the seed determines the page sizes. */
async function readAll(
  command_id: unknown,
  stream: string,
  encoding: string,
  limit: () => number,
): Promise<Pages> {
  const read: Pages = { pages: [], dropped: 0, total: 0 };
  for (let offset: unknown = 0; offset !== null; ) {
    const request = { command_id, stream, encoding, offset, limit: limit() };
    const { structured } = await server.call('command_output', request);
    const bytes = Buffer.from(String(structured['content']), encoding === 'base64' ? 'base64' : 'utf8');
    read.pages.push({ offset: Number(structured['offset']), bytes });
    read.dropped += Number(structured['dropped_bytes']);
    read.total = Number(structured['total_bytes']);
    offset = structured['next_offset'];
  }
  return read;
}

const joined = ({ pages }: Pages): Buffer => Buffer.concat(pages.map(({ bytes }) => bytes));

describe(`random output, SEED=${SEED}`, () => {
  const rounds = Array.from({ length: 8 }, (_, round) => SEED + round * 10);

  it.each(rounds)('is returned byte for byte in base64 pages, seed %i', async (seed) => {
    const next = numbers(seed);
    const bytes = 3 * (1 + (next() % 200_000));
    const { command_id } = await write(seed, bytes, next() % 2 === 0 ? 'binary' : 'text');
    const limit = (): number => 1_000 + (next() % 64_000);
    const kind = numbers(seed);
    kind();
    const written = kind() % 2 === 0 ? 'binary' : 'text';
    const out = await readAll(command_id, 'stdout', 'base64', limit);
    const err = await readAll(command_id, 'stderr', 'base64', limit);
    expect(joined(out).equals(content(seed, bytes, written))).toBe(true);
    expect(joined(err).equals(content(seed + 1, bytes / 3, written))).toBe(true);
    expect([out.dropped, err.dropped]).toEqual([0, 0]);
    const both = await readAll(command_id, 'both', 'base64', limit);
    expect(joined(both)).toHaveLength(out.total + err.total);
  });

  it.each(rounds)('is never split inside a character, in any answer, seed %i', async (seed) => {
    const next = numbers(seed);
    const bytes = 3 * (1 + (next() % 100_000));
    const { command_id, stdout, stderr } = await write(seed, bytes, 'text');
    const text = content(seed, bytes, 'text').toString();
    const pages = await readAll(command_id, 'stdout', 'utf8', () => 4 + (next() % 30_000));
    expect(joined(pages).toString() === text).toBe(true);
    expect(`${String(stdout)}${String(stderr)}`).not.toContain('\uFFFD');
    const lines: string[] = [];
    let cursor: Record<string, unknown> = {};
    for (let done: unknown = false; done !== true; ) {
      const limit = 1 + (next() % 1_000);
      const page = await server.call('command_logs', { command_id, stream: 'stdout', limit, ...cursor });
      const found = page.structured['lines'];
      if (Array.isArray(found)) lines.push(...found.map(({ data }) => String(data)));
      cursor = { cursor: page.structured['next_cursor'] };
      done = page.structured['done'];
    }
    // An unterminated last line counts as a line.
    expect(lines).toEqual((text.endsWith('\n') ? text.slice(0, -1) : text).split('\n'));
  });

  // Hundreds of pages, with one call each.
  it(`reports every dropped byte and keeps the others in place, seed ${SEED}`, async () => {
    const bytes = 36 * 1_048_576;
    const out = content(SEED, bytes, 'binary');
    const { command_id } = await write(SEED, bytes, 'binary', out);
    for (const [stream, expected] of [
      ['stdout', out],
      ['stderr', content(SEED + 1, bytes / 3, 'binary')],
    ] as const) {
      const read = await readAll(command_id, stream, 'base64', () => 65_536);
      expect(read.dropped).toBeGreaterThan(0);
      expect(joined(read).length + read.dropped).toBe(expected.length);
      for (const { offset, bytes: page } of read.pages) {
        expect(page.equals(expected.subarray(offset, offset + page.length))).toBe(true);
      }
    }
  });

  it('shows whole characters around the dropped bytes, and skips those in one page', async () => {
    const write = 'import sys\nfor _ in range(12 * 1024): sys.stdout.write("€" * 1024)';
    const { structured } = await server.call('sandbox_run_command', { cmd: 'python3', args: ['-c', write] });
    const { command_id, stdout_bytes } = structured;
    const { pages, dropped, total } = await readAll(command_id, 'stdout', 'utf8', () => 65_536);
    expect(total).toBe(stdout_bytes);
    for (const { offset, bytes } of pages) {
      expect(bytes.toString().replaceAll('€', '')).toBe('');
      expect(offset % 3).toBe(0);
    }
    expect(pages.reduce((sum, { bytes }) => sum + bytes.length, dropped)).toBe(total);
    expect(dropped).toBeGreaterThan(1_048_576);
    expect(pages.filter(({ bytes }) => bytes.length === 0)).toEqual([]);
  });
});

describe('a gigabyte of output', () => {
  it('does not grow the server, and its end can be read', async () => {
    // A separate server, so that the memory used by the pages above is not counted.
    const server = await startServer();
    onTestFinished(() => server.close());
    await server.call('sandbox_create');
    const script = `yes lines | head -c ${GB}; echo; echo the end`;
    const run = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
    expect(run.structured).toMatchObject({ exit_code: 0, stdout_bytes: GB + 9, truncated: true });
    const text = String(run.structured['stdout']);
    const [marker = '', bytes = '', count = ''] =
      /\[… ([\d,]+) bytes \(([\d,]+) lines\) left out; read with .+ …\]\n/.exec(text) ?? [];
    const number = (shown: string): number => Number(shown.replaceAll(',', ''));
    const shown = text.replace(marker, '');
    expect(shown).toMatch(/^(lines\n)+line\nthe end\n$/);
    expect(shown.length + number(bytes)).toBe(GB + 9);
    const all = Math.floor(GB / 6) + 2;
    expect(shown.split('\n').length - 1 + number(count)).toBe(all);
    expect(run.text.length).toBeLessThan(40_000);
    const { command_id } = run.structured;
    const tail = await server.call('command_output', { command_id, stream: 'stdout', offset: -8 });
    expect(tail.structured).toMatchObject({ content: 'the end\n', next_offset: null });
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1];
    expect(Number(peak) / 1_024).toBeLessThan(150);
  });
});

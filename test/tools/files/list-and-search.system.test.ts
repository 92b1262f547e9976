import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../support/answers.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

const bash = (script: string) => outputOf(server, script);

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
  await bash(`mkdir -p repo/src/lib repo/node_modules/dep repo/out && cd repo && git init -q .
printf 'node_modules\\n*.log\\n/out/\\n' > .gitignore; printf '!kept.log\\n' > src/.gitignore
printf 'export const answer = 42;\\n// TODO: answer\\n' > src/main.ts
printf 'line one\\nconst Answer = "x";\\nline three\\nline four\\n' > src/lib/util.ts
printf 'answer\\n' > node_modules/dep/index.js; echo answer > out/a; echo answer > a.log; echo answer > src/kept.log
printf 'answer\\0' > image.bin; echo answer > 'new
line.txt'; echo 'no end' > README`);
});
afterAll(() => server.close());

const list = (args: Record<string, unknown> = {}) =>
  server.call('sandbox_list_files', { path: 'repo', ...args });
const search = (args: Record<string, unknown>) =>
  server.call('sandbox_search_files', { path: 'repo', ...args });
const pathsOf = (answer: { structured: Record<string, unknown> }) =>
  (answer.structured['entries'] as { path: string }[]).map(({ path }) => path);

describe('sandbox_list_files', () => {
  it('lists a directory with kinds, sizes and times, without what .gitignore excludes', async () => {
    const answer = await list();
    expect(answer.structured).toMatchObject({ path: '/vercel/sandbox/repo', next_cursor: null });
    expect(pathsOf(answer)).toEqual(['.gitignore', 'README', 'image.bin', 'new\nline.txt', 'src']);
    expect(answer.structured['entries']).toContainEqual({
      path: 'README',
      type: 'file',
      size_bytes: 7,
      modified_at: expect.any(Number),
    });
    expect(answer.text).toContain('README  7 bytes  20');
    expect(answer.text).toContain('"new\\nline.txt"');
    expect(pathsOf(await list({ ignored: true }))).toEqual(
      expect.arrayContaining(['.git', 'a.log', 'node_modules', 'out']),
    );
  });

  it('excludes the same files as git does, also below the root of the repository', async () => {
    const files = (await bash('cd repo && git ls-files -coz --exclude-standard | tr "\\0" "|"'))
      .split('|')
      .filter(Boolean);
    const listed = await list({ pattern: '**' });
    const directories = new Set(['src', 'src/lib']);
    expect(
      pathsOf(listed)
        .filter((path) => !directories.has(path))
        .sort(),
    ).toEqual(files.sort());
    expect(pathsOf(await list({ path: 'repo/src', depth: 2 }))).toEqual([
      '.gitignore',
      'kept.log',
      'lib',
      'lib/util.ts',
      'main.ts',
    ]);
  });

  it('finds by pattern, and pages in a stable order', async () => {
    expect(pathsOf(await list({ pattern: '*.ts' }))).toEqual(['src/lib/util.ts', 'src/main.ts']);
    expect(pathsOf(await list({ pattern: 'src/*.{ts,js}' }))).toEqual(['src/main.ts']);
    const whole = pathsOf(await list({ pattern: '**' }));
    const paged: string[] = [];
    for (let cursor: unknown; cursor !== null; ) {
      const page = await list({ pattern: '**', limit: 1, ...(cursor !== undefined && { cursor }) });
      paged.push(...pathsOf(page));
      cursor = page.structured['next_cursor'];
    }
    expect(paged).toEqual(whole);
  });

  it('pages through a large directory', async () => {
    const script = `import os
os.makedirs('many')
for n in range(30000): os.close(os.open(f'many/{n:07}', os.O_CREAT))`;
    const made = await server.call('sandbox_run_command', { cmd: 'python3', args: ['-c', script] });
    expect(made.structured['exit_code']).toBe(0);
    const first = await list({ path: 'many', limit: 3 });
    expect(pathsOf(first)).toEqual(['0000000', '0000001', '0000002']);
    const next = await list({ path: 'many', limit: 2, cursor: first.structured['next_cursor'] });
    expect(pathsOf(next)).toEqual(['0000003', '0000004']);
    const other = await list({ path: 'repo', cursor: next.structured['next_cursor'] });
    failsWith(other, 'invalid_argument', 'is of a call with other arguments', 'sandbox_list_files');
    await bash('rm -rf many');
  });

  it('explains what it cannot list', async () => {
    failsWith(await list({ path: 'none' }), 'not_found', 'does not exist in the sandbox');
    failsWith(await list({ path: 'repo/README' }), 'invalid_argument', 'is a file', 'sandbox_read_file');
    failsWith(await list({ path: '/root' }), 'permission', 'no permission to read');
    failsWith(await list({ cursor: 'x' }), 'invalid_argument', 'is not valid', 'next_cursor');
    failsWith(await list({ pattern: '' }), 'invalid_argument', '1 to 500 characters');
  });
});

describe('sandbox_search_files', () => {
  it('groups matches by file, with line numbers, and counts binary files', async () => {
    const answer = await search({ pattern: 'answer\\b' });
    expect(answer.structured).toMatchObject({
      path: '/vercel/sandbox/repo',
      files: [
        { path: 'new\nline.txt', lines: [{ line: 1, text: 'answer' }] },
        { path: 'src/kept.log', lines: [{ line: 1, text: 'answer' }] },
        {
          path: 'src/main.ts',
          lines: [
            { line: 1, text: 'export const answer = 42;' },
            { line: 2, text: '// TODO: answer' },
          ],
        },
      ],
      matches: 4,
      binary_files: 1,
      unreadable_files: 0,
      next_cursor: null,
    });
    expect(answer.text).toContain('4 matches in ');
    expect(answer.text).toContain(', 1 binary\n"new\\nline.txt"\n  1: answer\nsrc/kept.log');
  });

  it('ignores case, filters by glob, and adds lines of context', async () => {
    const answer = await search({ pattern: 'ANSWER', case: 'insensitive', glob: '*.ts', context: 1 });
    expect(answer.structured['files']).toEqual([
      {
        path: 'src/lib/util.ts',
        lines: [
          { line: 1, text: 'line one', context: true },
          { line: 2, text: 'const Answer = "x";' },
          { line: 3, text: 'line three', context: true },
        ],
      },
      expect.objectContaining({ path: 'src/main.ts' }),
    ]);
    expect(answer.text).toContain('  1- line one\n  2: const Answer');
    const one = await search({ path: 'repo/src/main.ts', pattern: '^//' });
    expect(one.structured).toMatchObject({ path: '/vercel/sandbox/repo/src', files_searched: 1, matches: 1 });
  });

  it('pages also within a file, without losing or repeating a match', async () => {
    await bash('seq 1 25 > repo/numbers; seq 1 3 > repo/numbers2');
    const found: string[] = [];
    for (let cursor: unknown; cursor !== null; ) {
      const args = {
        pattern: '^\\d+$',
        glob: 'numbers*',
        limit: 10,
        ...(cursor !== undefined && { cursor }),
      };
      const { structured } = await search(args);
      for (const { path, lines } of structured['files'] as { path: string; lines: { text: string }[] }[]) {
        found.push(...lines.map(({ text }) => `${path} ${text}`));
      }
      cursor = structured['next_cursor'];
    }
    const numbers = (name: string, count: number) =>
      Array.from({ length: count }, (_, n) => `${name} ${n + 1}`);
    expect(found).toEqual([...numbers('numbers', 25), ...numbers('numbers2', 3)]);
  });

  it('bounds what hostile files return, and shows no terminal escapes', async () => {
    await bash(`mkdir hostile; printf '\\033[31mneedle\\033[0m\\n' > hostile/color; ln -s / hostile/loop
head -c 200000 /dev/zero | tr '\\0' 'n' > hostile/long; printf needle >> hostile/long
yes needle | head -n 100000 > hostile/many; mkfifo hostile/pipe; printf '\\377needle\\n' > hostile/latin`);
    const answer = await search({ path: 'hostile', pattern: 'needle', limit: 1_000 });
    const files = answer.structured['files'] as { path: string; lines: { text: string }[] }[];
    expect(files.map(({ path }) => path)).toEqual(['color', 'latin', 'long', 'many']);
    expect(files.map(({ lines }) => lines[0]?.text)).toEqual([
      'needle',
      '\ufffdneedle',
      expect.stringMatching(/^…n+eedle$/),
      'needle',
    ]);
    expect(answer.structured).toMatchObject({ matches: 1_000, next_cursor: expect.any(String) });
    failsWith(await search({ pattern: '(a)\\1' }), 'invalid_argument', 'Invalid `pattern`', 'RE2');
    failsWith(await search({ path: 'none', pattern: 'a' }), 'not_found', 'does not exist');
  });
});

describe('sandbox_read_file by lines', () => {
  const read = (args: Record<string, unknown>) =>
    server.call('sandbox_read_file', { path: 'lines', ...args });

  it('reads lines with the total', async () => {
    await bash(
      "seq 1 1000 > lines; printf 'a\\nb' > open; : > empty; head -c 100000 /dev/zero | tr '\\0' x > wide",
    );
    expect((await read({ from_line: 10, lines: 3 })).structured).toEqual({
      path: '/vercel/sandbox/lines',
      exists: true,
      size_bytes: 3_893,
      encoding: 'utf8',
      content: '10\n11\n12\n',
      next_offset: null,
      from_line: 10,
      to_line: 12,
      total_lines: 1_000,
      next_line: 13,
    });
    expect((await read({ from_line: 1_000 })).structured).toMatchObject({
      content: '1000\n',
      next_line: null,
    });
    expect((await read({ path: 'open', lines: 5 })).structured).toMatchObject({
      content: 'a\nb',
      to_line: 2,
      total_lines: 2,
      next_line: null,
    });
    expect((await read({ path: 'empty', lines: 5 })).structured).toMatchObject({
      content: '',
      total_lines: 0,
    });
    expect((await read({ lines: 1_000, limit: 100 })).structured).toMatchObject({
      to_line: 36,
      next_line: 37,
    });
    const wide = await read({ path: 'wide', lines: 1 });
    expect(wide.structured).toMatchObject({
      to_line: 1,
      next_line: null,
      note: expect.stringContaining('offset'),
    });
  });

  it('refuses lines that do not exist, and bytes of lines', async () => {
    failsWith(await read({ from_line: 1_001 }), 'invalid_argument', 'which has 1000 lines');
    failsWith(await read({ from_line: 1, offset: 5 }), 'invalid_argument', 'Leave out offset');
    failsWith(await read({ path: 'repo/image.bin', lines: 1 }), 'invalid_argument', 'binary file');
    expect((await read({ path: 'none', lines: 1 })).structured).toMatchObject({
      exists: false,
      content: null,
    });
  });
});

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../support/answers.ts';
import { type Answer, type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

const bash = (script: string) => outputOf(server, script);

describe('writing and reading', () => {
  it('writes files with parents and modes, and reads them back', async () => {
    const written = await server.call('sandbox_write_files', {
      files: [
        { path: 'deep/er/run.sh', content: '#!/bin/sh\necho ran\n', mode: '0755' },
        { path: '/tmp/data.bin', content: Buffer.from([0, 255]).toString('base64'), encoding: 'base64' },
      ],
    });
    expect(written.structured['files']).toEqual([
      { path: '/vercel/sandbox/deep/er/run.sh', size_bytes: 19 },
      { path: '/tmp/data.bin', size_bytes: 2 },
    ]);
    expect(await bash('./deep/er/run.sh; stat -c %a deep/er/run.sh; od -An -tx1 /tmp/data.bin')).toBe(
      'ran\n755\n 00 ff\n',
    );
    const read = await server.call('sandbox_read_file', { path: 'er/run.sh', cwd: 'deep' });
    expect(read.structured).toEqual({
      path: '/vercel/sandbox/deep/er/run.sh',
      exists: true,
      size_bytes: 19,
      encoding: 'utf8',
      content: '#!/bin/sh\necho ran\n',
      next_offset: null,
    });
    const base64 = await server.call('sandbox_read_file', { path: '/tmp/data.bin', encoding: 'base64' });
    expect(base64.structured).toMatchObject({ content: 'AP8=' });
  });

  it('keeps the mode of a file that is overwritten', async () => {
    await server.call('sandbox_write_files', { files: [{ path: 'kept', content: 'a', mode: '0700' }] });
    await server.call('sandbox_write_files', { files: [{ path: 'kept', content: 'b' }] });
    expect(await bash('cat kept; stat -c %a kept')).toBe('b700\n');
  });

  it('rejects ~ in every path argument, and accepts a name that starts with it', async () => {
    const before = await bash('ls -A');
    const file = { path: '~/a', content: '' };
    for (const [tool, args] of [
      ['sandbox_write_files', { files: [file] }],
      ['sandbox_write_files', { files: [{ ...file, path: 'a' }], cwd: '~' }],
      ['sandbox_read_file', { path: '~/a' }],
      ['sandbox_iter_file', { path: '~/a' }],
      ['sandbox_mk_dir', { path: '~' }],
      ['sandbox_download_file', { remote_path: '~/a', local_path: 'a' }],
      ['sandbox_upload_file', { remote_path: '~/a', local_path: 'a' }],
      ['sandbox_run_command', { cmd: 'true', cwd: '~' }],
      ['sandbox_run_command_detached', { cmd: 'true', cwd: '~/a' }],
      ['sandbox_shell', { cwd: '~' }],
    ] as const) {
      const answer = await server.call(tool, args);
      failsWith(answer, 'invalid_argument', 'without ~, which is not expanded', "start at the sandbox's cwd");
    }
    for (const tool of ['sandbox_download_file', 'sandbox_upload_file']) {
      const answer = await server.call(tool, { remote_path: 'a', local_path: '~/a' });
      failsWith(answer, 'invalid_argument', 'without ~, which is not expanded', 'session_info names');
    }
    expect(await bash('ls -A')).toBe(before);
    await server.call('sandbox_write_files', { files: [{ path: './~/a', content: 'so named' }] });
    await server.call('sandbox_write_files', { files: [{ path: '~b', content: 'too' }] });
    expect(await bash("cat './~/a' '~b'; rm -r './~' '~b'")).toBe('so namedtoo');
  });

  it('reports the maximum length of a name', async () => {
    for (const path of ['n'.repeat(256), 'd/'.repeat(2_048)]) {
      const answer = await server.call('sandbox_read_file', { path });
      failsWith(answer, 'invalid_argument', 'too long', '255 bytes, a path 4,095');
    }
  });

  it('pages through a file without splitting a character', async () => {
    const content = 'aé€😀\n'.repeat(3_000);
    await server.call('sandbox_write_files', { files: [{ path: 'long', content }] });
    let read = '';
    for (let offset: unknown = 0; offset !== null; ) {
      const { structured } = await server.call('sandbox_read_file', { path: 'long', offset, limit: 10_001 });
      read += String(structured['content']);
      offset = structured['next_offset'];
    }
    expect(read).toBe(content);
    let iterated = '';
    for (let args: Record<string, unknown> = {}; ; ) {
      const { structured } = await server.call('sandbox_iter_file', {
        path: 'long',
        chunk_size: 7_000,
        ...args,
      });
      iterated += String(structured['content']);
      if (structured['next_cursor'] === null) break;
      args = { cursor: structured['next_cursor'] };
    }
    expect(iterated).toBe(content);
  });

  it('reads a file that reports no size', async () => {
    const { structured } = await server.call('sandbox_read_file', { path: '/proc/version' });
    expect(structured['content']).toMatch(/^Linux version /);
  });

  it('reports a missing file as missing', async () => {
    const missing = { exists: false, size_bytes: null, content: null, next_offset: null };
    expect((await server.call('sandbox_read_file', { path: 'nothing' })).structured).toMatchObject(missing);
    expect((await server.call('sandbox_iter_file', { path: 'nothing' })).structured).toMatchObject({
      ...missing,
      next_cursor: null,
    });
  });

  it('reports the path of a missing file, or the missing directory', async () => {
    await bash('mkdir -p there; touch there/file');
    const { structured } = await server.call('sandbox_read_file', { path: '../x/./y', cwd: 'there' });
    expect(structured).toMatchObject({ path: '/vercel/sandbox/x/y', exists: false });
    const read = (cwd: string): Promise<Answer> => server.call('sandbox_read_file', { path: 'file', cwd });
    failsWith(await read('nowhere'), 'not_found', '`cwd` "nowhere"');
    failsWith(await read('there/file'), 'invalid_argument', '`cwd` "there/file"');
  });

  it('rejects an offset that no file can have', async () => {
    await server.call('sandbox_write_files', { files: [{ path: 'short', content: 'abc' }] });
    const at = (offset: number): Promise<Answer> =>
      server.call('sandbox_read_file', { path: 'short', offset });
    expect((await at(2 ** 43)).structured).toMatchObject({ content: '', size_bytes: 3, next_offset: null });
    failsWith(await at(2 ** 43 + 1), 'invalid_argument', '`offset` must be at most 8796093022208');
    const cursor = `at.${Number.MAX_SAFE_INTEGER.toString(36)}`;
    failsWith(await server.call('sandbox_iter_file', { path: 'short', cursor }), 'invalid_argument', cursor);
  });

  it('returns an image as a block, and explains how to scale down one that is too large', async () => {
    const png = (width: number, height: number): Buffer => {
      const data = Buffer.alloc(64);
      data.write('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1');
      data.writeUInt32BE(width, 16);
      data.writeUInt32BE(height, 20);
      return data;
    };
    const content = (data: Buffer) => ({ content: data.toString('base64'), encoding: 'base64' });
    await server.call('sandbox_write_files', {
      files: [
        { path: 'small.png', ...content(png(640, 480)) },
        { path: 'wide.png', ...content(png(2_001, 1)) },
      ],
    });
    const read = { name: 'sandbox_read_file', arguments: { path: 'small.png' } };
    expect(await server.client.callTool(read)).toEqual({
      content: [
        { type: 'text', text: expect.stringContaining('image: image/png, 640 × 480') },
        { type: 'image', data: png(640, 480).toString('base64'), mimeType: 'image/png' },
      ],
    });
    const wide = await server.call('sandbox_read_file', { path: 'wide.png' });
    failsWith(wide, 'invalid_argument', '2001 × 1 pixels and 64 bytes', '"1500x1500>"', 'wide.png');
    await bash('cat small.png > heavy.png; truncate -s 3750001 heavy.png');
    failsWith(
      await server.call('sandbox_read_file', { path: 'heavy.png' }),
      'invalid_argument',
      '640 × 480 pixels and 3750001 bytes',
    );
    const raw = await server.call('sandbox_read_file', { path: 'small.png', encoding: 'base64' });
    expect(raw.structured).toMatchObject(content(png(640, 480)));
  });

  it('shows text with stray bytes, and says so', async () => {
    await bash("printf 'a long enough line of caf\\351 latin text\\n' > latin");
    for (const tool of ['sandbox_read_file', 'sandbox_iter_file']) {
      const { structured } = await server.call(tool, { path: 'latin' });
      expect(structured['content']).toBe('a long enough line of caf\uFFFD latin text\n');
      expect(structured['note']).toContain('base64');
    }
  });

  it('refuses what cannot be read in the requested way', async () => {
    await bash("printf '\\377\\000' > binary");
    failsWith(
      await server.call('sandbox_read_file', { path: 'binary' }),
      'invalid_argument',
      'base64',
      'sandbox_download_file',
    );
    failsWith(await server.call('sandbox_read_file', { path: '/tmp' }), 'invalid_argument', '/tmp');
    failsWith(await server.call('sandbox_read_file', { path: '' }), 'invalid_argument', '`path`');
    failsWith(await server.call('sandbox_read_file', { path: 'a\0b' }), 'invalid_argument', '`path`');
    failsWith(
      await server.call('sandbox_read_file', { path: 'a', offset: -1 }),
      'invalid_argument',
      '`offset`',
    );
    failsWith(
      await server.call('sandbox_iter_file', { path: 'binary', cursor: 'x' }),
      'invalid_argument',
      '`cursor`',
    );
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no files', { files: [] }, '`files` must be a list of at least 1'],
    ['a bad mode', { files: [{ path: 'a', content: '', mode: '999' }] }, 'octal string such as "0755"'],
    ['to a path that ends in a slash', { files: [{ path: 'a/', content: '' }] }, 'ends with a file name'],
    ['to a directory', { files: [{ path: 'a/..', content: '' }] }, '`files[0].path`'],
    ['bad base64', { files: [{ path: 'a', content: '%%%', encoding: 'base64' }] }, 'not valid base64'],
    ['half a character', { files: [{ path: 'a', content: '\ud800' }] }, 'not valid utf8'],
    [
      'an unknown key',
      { files: [{ path: 'a', content: '', owner: 'me' }] },
      'valid ones: path, content, encoding, mode',
    ],
    ['too much', { files: [{ path: 'a', content: 'x'.repeat(17_000_000) }] }, 'sandbox_upload_file'],
  ])('rejects %s, and writes nothing', async (_name, args, message) => {
    failsWith(await server.call('sandbox_write_files', args), 'invalid_argument', message);
    expect((await server.call('sandbox_read_file', { path: 'a' })).structured).toMatchObject({
      exists: false,
    });
  });

  it('does not overwrite a directory', async () => {
    await bash('mkdir -p a-directory');
    const answer = await server.call('sandbox_write_files', {
      files: [{ path: 'a-directory', content: '' }],
    });
    expect(answer.isError).toBe(true);
    expect(answer.text).toContain('a-directory');
    expect(answer.text).not.toContain('(internal)');
  });
});

describe('an error for what cannot be created', () => {
  it('names the requested operation, not its implementation', async () => {
    const file = { files: [{ path: '/usr/up', content: '' }] };
    failsWith(
      await server.call('sandbox_write_files', file),
      'permission',
      'no permission to write "/usr/up"',
    );
    const directory = await server.call('sandbox_mk_dir', { path: '/usr/up' });
    failsWith(directory, 'permission', 'no permission to make "/usr/up"');
    await writeFile(join(server.cwd, 'up'), '');
    await mkdir(join(server.cwd, 'tree'));
    for (const local_path of ['up', 'tree']) {
      const sent = await server.call('sandbox_upload_file', { local_path, remote_path: '/usr/up' });
      failsWith(sent, 'permission', 'no permission to write "/usr/up"');
    }
  });

  it('explains that a directory does not accept new files', async () => {
    const path = '/proc/no-such';
    const file = await server.call('sandbox_write_files', { files: [{ path, content: '' }] });
    failsWith(file, 'invalid_argument', `"${path}"`, 'does not accept new files');
    const directory = await server.call('sandbox_mk_dir', { path });
    failsWith(directory, 'invalid_argument', `"${path}"`, 'does not accept new files');
  });
});

describe('sandbox_mk_dir', () => {
  it('creates parents and accepts an existing directory', async () => {
    for (let time = 0; time < 2; time++) {
      const { structured } = await server.call('sandbox_mk_dir', { path: 'x/y/z' });
      expect(structured['path']).toBe('/vercel/sandbox/x/y/z');
    }
    expect(await bash('stat -c %F x/y/z')).toBe('directory\n');
    await bash('touch x/file');
    const answer = await server.call('sandbox_mk_dir', { path: 'x/file' });
    expect(answer).toMatchObject({ isError: true });
    expect(answer.text).not.toContain('(internal)');
  });
});

import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type RunningServer, startServer } from '../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

async function bash(script: string): Promise<string> {
  const { structured } = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  if (structured['exit_code'] !== 0) throw new Error(String(structured['stderr']));
  return String(structured['stdout']);
}

function failsWith(answer: Answer, code: string, ...parts: string[]): void {
  expect(answer.isError).toBe(true);
  for (const part of [`Error (${code})`, 'Next step: ', ...parts]) expect(answer.text).toContain(part);
}

describe('writing and reading', () => {
  it('writes files whole, with their parents and modes, and reads them back', async () => {
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

  it('keeps the mode of a file that is written again', async () => {
    await server.call('sandbox_write_files', { files: [{ path: 'kept', content: 'a', mode: '0700' }] });
    await server.call('sandbox_write_files', { files: [{ path: 'kept', content: 'b' }] });
    expect(await bash('cat kept; stat -c %a kept')).toBe('b700\n');
  });

  it('pages through a file without cutting a character', async () => {
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

  it('reads a file that has no size of its own', async () => {
    const { structured } = await server.call('sandbox_read_file', { path: '/proc/version' });
    expect(structured['content']).toMatch(/^Linux version /);
  });

  it('answers a missing file as missing', async () => {
    const missing = { exists: false, size_bytes: null, content: null, next_offset: null };
    expect((await server.call('sandbox_read_file', { path: 'nothing' })).structured).toMatchObject(missing);
    expect((await server.call('sandbox_iter_file', { path: 'nothing' })).structured).toMatchObject({
      ...missing,
      next_cursor: null,
    });
  });

  it('refuses what cannot be read as it was asked for', async () => {
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
    ['bad base64', { files: [{ path: 'a', content: '%%%', encoding: 'base64' }] }, 'not valid base64'],
    ['half a character', { files: [{ path: 'a', content: '\ud800' }] }, 'not valid utf8'],
    [
      'an unknown key',
      { files: [{ path: 'a', content: '', owner: 'me' }] },
      'valid ones: path, content, encoding, mode',
    ],
    ['too much', { files: [{ path: 'a', content: 'x'.repeat(17_000_000) }] }, 'sandbox_upload_file'],
  ])('refuses to write %s, and writes nothing', async (_name, args, message) => {
    failsWith(await server.call('sandbox_write_files', args), 'invalid_argument', message);
    expect((await server.call('sandbox_read_file', { path: 'a' })).structured).toMatchObject({
      exists: false,
    });
  });

  it('does not write over a directory', async () => {
    await bash('mkdir -p a-directory');
    const answer = await server.call('sandbox_write_files', {
      files: [{ path: 'a-directory', content: '' }],
    });
    expect(answer.isError).toBe(true);
    expect(answer.text).toContain('a-directory');
    expect(answer.text).not.toContain('(internal)');
  });
});

describe('sandbox_mk_dir', () => {
  it('makes parents and is content with what is there', async () => {
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

describe('upload and download', () => {
  it('takes a file in and brings it out, with its hash', async () => {
    const content = randomBytes(3_000_000);
    const sha256 = createHash('sha256').update(content).digest('hex');
    await writeFile(join(server.cwd, 'in.bin'), content);
    const up = await server.call('sandbox_upload_file', {
      local_path: 'in.bin',
      remote_path: 'box.bin',
      mode: '0600',
    });
    expect(up.structured).toMatchObject({
      remote_path: '/vercel/sandbox/box.bin',
      files: 1,
      bytes: 3_000_000,
      sha256,
    });
    expect(await bash('sha256sum < box.bin; stat -c %a box.bin')).toBe(`${sha256}  -\n600\n`);
    const request = { remote_path: 'box.bin', local_path: 'made/out.bin' };
    failsWith(await server.call('sandbox_download_file', request), 'not_found', 'create_parents');
    const down = await server.call('sandbox_download_file', { ...request, create_parents: true });
    expect(down.structured).toMatchObject({
      local_path: join(server.cwd, 'made/out.bin'),
      remote_path: '/vercel/sandbox/box.bin',
      files: 1,
      bytes: 3_000_000,
      sha256,
      skipped_links: 0,
    });
    expect((await readFile(join(server.cwd, 'made/out.bin'))).equals(content)).toBe(true);
  });

  it('takes a directory in and brings it out whole', async () => {
    const project = join(server.cwd, 'project');
    await mkdir(join(project, 'src'), { recursive: true });
    await mkdir(join(project, 'node_modules/dep'), { recursive: true });
    await writeFile(join(project, 'src/main.sh'), 'echo', { mode: 0o755 });
    await writeFile(join(project, 'node_modules/dep/index.js'), 'x');
    await symlink('src/main.sh', join(project, 'run'));
    const up = await server.call('sandbox_upload_file', {
      local_path: 'project',
      remote_path: 'app',
      exclude: ['node_modules'],
    });
    expect(up.structured).toMatchObject({ files: 1, bytes: 4, sha256: null });
    expect(await bash('cd app; find . | sort; readlink run')).toBe(
      '.\n./run\n./src\n./src/main.sh\nsrc/main.sh\n',
    );
    await bash('ln -s /etc/passwd app/out; mkdir app/new; echo built > app/new/artefact');
    const down = await server.call('sandbox_download_file', { remote_path: 'app', local_path: 'result' });
    expect(down.structured).toMatchObject({ files: 2, sha256: null, skipped_links: 1 });
    expect((await readdir(join(server.cwd, 'result'), { recursive: true })).sort()).toEqual(
      ['new', 'new/artefact', 'run', 'src', 'src/main.sh'].sort(),
    );
    expect((await lstat(join(server.cwd, 'result/run'))).isSymbolicLink()).toBe(true);
    const again = await server.call('sandbox_download_file', { remote_path: 'app', local_path: 'result' });
    failsWith(again, 'conflict', 'result');
  });

  it.each(['/etc/hostname', '../outside', 'link-out/secret', '/proc/self/environ'])(
    'does not touch %s, outside the allowed folders',
    async (local_path) => {
      await symlink('/etc', join(server.cwd, 'link-out')).catch(() => {});
      const up = await server.call('sandbox_upload_file', { local_path, remote_path: 'stolen' });
      failsWith(up, 'permission', server.cwd);
      expect((await server.call('sandbox_read_file', { path: 'stolen' })).structured).toMatchObject({
        exists: false,
      });
      const down = await server.call('sandbox_download_file', { remote_path: '/usr/bin/env', local_path });
      failsWith(down, 'permission', server.cwd);
    },
  );

  it('says what is missing, on either side', async () => {
    const up = await server.call('sandbox_upload_file', { local_path: 'no-such', remote_path: 'x' });
    failsWith(up, 'not_found', 'no-such');
    const down = await server.call('sandbox_download_file', {
      remote_path: 'no-such',
      local_path: 'a/b/c',
      create_parents: true,
    });
    failsWith(down, 'not_found', 'no-such');
    expect(await readdir(server.cwd)).not.toContain('a');
    await mkdir(join(server.cwd, 'folder'), { recursive: true });
    const mode = await server.call('sandbox_upload_file', {
      local_path: 'folder',
      remote_path: 'x',
      mode: '0755',
    });
    failsWith(mode, 'invalid_argument', '`mode`');
    const exclude = await server.call('sandbox_upload_file', {
      local_path: 'folder',
      remote_path: 'x',
      exclude: [''],
    });
    failsWith(exclude, 'invalid_argument', '`exclude`');
  });

  it('leaves nothing of a download that is cancelled', async () => {
    await bash('mkfifo pipe 2>/dev/null; head -c 300000000 /dev/zero > big');
    const before = await readdir(server.cwd);
    const controller = new AbortController();
    const call = server.call(
      'sandbox_download_file',
      { remote_path: 'big', local_path: 'big' },
      { signal: controller.signal },
    );
    controller.abort();
    await expect(call).rejects.toThrow();
    // Whatever order the two calls come to, the session answers again and no part is left.
    await server.call('session_info');
    await expect.poll(() => readdir(server.cwd), { timeout: 20_000 }).toEqual(before);
    failsWith(
      await server.call('sandbox_download_file', { remote_path: 'pipe', local_path: 'pipe' }),
      'invalid_argument',
    );
  });
});

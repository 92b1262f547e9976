import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../support/answers.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

const bash = (script: string) => outputOf(server, script);

describe('upload and download', () => {
  // The second one is hashed in a worker thread.
  it.each([3_000_000, 40_000_001])(
    'uploads and downloads a file of %i bytes, with its hash',
    async (bytes) => {
      const content = randomBytes(bytes);
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
        bytes,
        sha256,
      });
      expect(await bash('sha256sum < box.bin; stat -c %a box.bin')).toBe(`${sha256}  -\n600\n`);
      const request = { remote_path: 'box.bin', local_path: `made-${bytes}/out.bin` };
      failsWith(await server.call('sandbox_download_file', request), 'not_found', 'create_parents');
      const down = await server.call('sandbox_download_file', { ...request, create_parents: true });
      expect(down.structured).toMatchObject({
        local_path: join(server.cwd, `made-${bytes}/out.bin`),
        remote_path: '/vercel/sandbox/box.bin',
        files: 1,
        bytes,
        sha256,
        skipped: 0,
        skipped_paths: [],
      });
      expect((await readFile(join(server.cwd, `made-${bytes}/out.bin`))).equals(content)).toBe(true);
    },
  );

  it('uploads and downloads a whole directory', async () => {
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
    expect(down.structured).toMatchObject({ files: 2, sha256: null, skipped: 1 });
    expect(down.text).toContain('skipped: 1\nskipped_paths: ["out (a link that leads out of the tree)"]');
    expect((await readdir(join(server.cwd, 'result'), { recursive: true })).sort()).toEqual(
      ['new', 'new/artefact', 'run', 'src', 'src/main.sh'].sort(),
    );
    expect((await lstat(join(server.cwd, 'result/run'))).isSymbolicLink()).toBe(true);
    const request = { remote_path: 'app', local_path: 'result', overwrite: 'refuse' };
    failsWith(await server.call('sandbox_download_file', request), 'conflict', 'result');
  });

  it.each(['/etc/hostname', '../outside', 'link-out/secret', '/proc/self/environ'])(
    'does not access %s, outside the allowed folders',
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

  it('reports what is missing, on either side', async () => {
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

  it('copies into a target that ends in a slash or is a directory', async () => {
    await mkdir(join(server.cwd, 'into'), { recursive: true });
    await writeFile(join(server.cwd, 'one.txt'), 'one');
    await bash('mkdir -p there');
    const targetOf = async (tool: string, args: object, field: string) => {
      const { structured, isError, text } = await server.call(tool, { ...args });
      expect(isError, text).toBe(false);
      return structured[field];
    };
    const up = (remote_path: string, local_path = 'one.txt') =>
      targetOf('sandbox_upload_file', { local_path, remote_path }, 'remote_path');
    expect(await up('there')).toBe('/vercel/sandbox/there/one.txt');
    expect(await up('made/')).toBe('/vercel/sandbox/made/one.txt');
    expect(await up('made/', 'into')).toBe('/vercel/sandbox/made/into');
    const down = (local_path: string, remote_path = 'there/one.txt') =>
      targetOf('sandbox_download_file', { local_path, remote_path, create_parents: true }, 'local_path');
    expect(await down('into')).toBe(join(server.cwd, 'into/one.txt'));
    expect(await down('fresh/')).toBe(join(server.cwd, 'fresh/one.txt'));
    expect(await down('fresh/', 'there')).toBe(join(server.cwd, 'fresh/there'));
    expect(await down('.')).toBe(join(server.cwd, 'one.txt'));
  });

  it('keeps times in both directions, and gives files to the user of each side', async () => {
    await mkdir(join(server.cwd, 'stale'));
    await writeFile(join(server.cwd, 'stale/file'), 'x');
    for (const name of ['stale/file', 'stale'])
      await utimes(join(server.cwd, name), 1_234_567_890, 1_234_567_890);
    await server.call('sandbox_upload_file', { local_path: 'stale', remote_path: 'stale' });
    expect(await bash('stat -c %Y stale stale/file; find stale ! -user $(id -un)')).toBe(
      '1234567890\n1234567890\n',
    );
    const script = 'chown -R root stale';
    await server.call('sandbox_run_command', { cmd: 'sh', args: ['-c', script], sudo: true });
    await server.call('sandbox_download_file', { remote_path: 'stale', local_path: 'stale-back' });
    for (const name of ['stale-back', 'stale-back/file']) {
      const uid = process.getuid?.();
      expect(await lstat(join(server.cwd, name))).toMatchObject({ mtimeMs: 1_234_567_890_000, uid });
    }
  });

  it('skips what cannot be read, and lists it', async () => {
    await bash('mkdir -p mixed; echo x > mixed/fine; mkfifo mixed/pipe; mkdir -m 0 mixed/shut');
    const down = await server.call('sandbox_download_file', { remote_path: 'mixed', local_path: 'mixed' });
    expect(down.structured).toMatchObject({ status: 'done', files: 1, skipped: 2 });
    const paths = down.structured['skipped_paths'];
    expect(Array.isArray(paths) && paths.sort()).toEqual(['pipe (fifo)', 'shut (permission denied)']);
    await bash('rmdir mixed/shut');
  });

  it('downloads a directory twice to the same place', async () => {
    await server.call('sandbox_write_files', { files: [{ path: 'twice/file', content: '' }] });
    const args = { remote_path: 'twice', local_path: 'twice' };
    expect((await server.call('sandbox_download_file', args)).isError).toBe(false);
    await writeFile(join(server.cwd, 'twice/mine'), 'x');
    expect((await server.call('sandbox_download_file', args)).isError).toBe(false);
    expect((await readdir(join(server.cwd, 'twice'))).sort()).toEqual(['file', 'mine']);
    const replaced = await server.call('sandbox_download_file', { ...args, overwrite: 'replace' });
    expect(replaced.isError).toBe(false);
    expect(await readdir(join(server.cwd, 'twice'))).toEqual(['file']);
  });

  it('skips names that are not text in a download, and says so', async () => {
    await bash("mkdir odd; touch odd/plain $'odd/\\xff' $'odd/\\xfe'");
    const down = await server.call('sandbox_download_file', { remote_path: 'odd', local_path: 'odd' });
    expect(down.structured).toMatchObject({ files: 1, skipped: 2 });
    expect(down.text).toContain('not UTF-8');
    expect(await readdir(join(server.cwd, 'odd'))).toEqual(['plain']);
  });

  it('leaves nothing of a cancelled download', async () => {
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
    // Whatever the order of the two calls, the session keeps answering and no partial file is left.
    await server.call('session_info');
    await expect.poll(() => readdir(server.cwd)).toEqual(before);
    failsWith(
      await server.call('sandbox_download_file', { remote_path: 'pipe', local_path: 'pipe' }),
      'invalid_argument',
    );
  });
});

describe('a state directory below an allowed folder', () => {
  it('is skipped when its parent is uploaded, and rejected when named', async () => {
    const stateDir = join(server.cwd, 'state-of-other');
    const other = await startServer({ cwd: server.cwd, stateDir });
    try {
      const { structured } = await other.call('sandbox_create');
      await writeFile(join(server.cwd, 'beside'), 'x');
      const up = await other.call('sandbox_upload_file', { local_path: '.', remote_path: 'all' });
      expect(up.structured['skipped_paths']).toContain("state-of-other (the server's own state directory)");
      const listed = await other.call('sandbox_run_command', { cmd: 'ls', args: ['all'] });
      expect(listed.structured['stdout']).toContain('beside\n');
      expect(listed.structured['stdout']).not.toContain('state-of-other');
      for (const local_path of ['state-of-other', `state-of-other/${String(structured['sandbox_id'])}`]) {
        const refused = await other.call('sandbox_upload_file', { local_path, remote_path: 'stolen' });
        failsWith(refused, 'permission', local_path, "server's state directory");
      }
    } finally {
      await other.close();
      await rm(stateDir, { recursive: true, force: true });
    }
  });
});

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failsWith, outputOf } from '../../support/answers.ts';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;
let project: string;

/** bindfs is a FUSE file system that shows a folder at another place. */
const hasFuse = ['/dev/fuse', '/usr/bin/bindfs'].every((path) => existsSync(path));

const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'safe.directory=*', '-C', project, ...args], { encoding: 'utf8' });
const bash = (script: string) => outputOf(server, script);

/** A commit of `count` files, a hundred in each directory, checked out. */
function makeRepository(folder: string, count: number): void {
  const blobs = Array.from(
    { length: 100 },
    (_, file) => `blob\nmark :${file + 1}\ndata ${`${file}\n`.length}\n${file}\n`,
  );
  const lines = Array.from(
    { length: count },
    (_, at) => `M 100644 :${(at % 100) + 1} ${Math.floor(at / 100)}/${at % 100}`,
  );
  const commit = `commit refs/heads/main\ncommitter t <t@example.org> 1700000000 +0000\ndata 1\nx\n${lines.join('\n')}\n`;
  execFileSync('git', ['init', '-q', '-b', 'main', folder]);
  execFileSync('git', ['-C', folder, 'fast-import', '--quiet'], { input: `${blobs.join('')}${commit}` });
  execFileSync('git', ['-C', folder, 'reset', '-q', '--hard']);
}

beforeAll(async () => {
  server = await startServer();
  project = join(server.cwd, 'project');
  await mkdir(join(project, 'src/deep'), { recursive: true });
  for (const name of ['a', 'b', 'c', 'gone', 'moved', 'src/deep/x', 'src/deep/y'])
    await writeFile(join(project, name), `${name}\none\ntwo\nthree\n`);
  await writeFile(join(project, 'blob'), Buffer.from([0, 1, 2, 255]));
  await writeFile(join(project, '.env'), 'SECRET=host\n');
  await writeFile(join(project, 'src/.env.local'), 'SECRET=host\n');
  await writeFile(join(project, 'private.txt'), 'private\n');
  await writeFile(join(project, '.sandboxignore'), 'private.txt\n');
  await writeFile(join(project, '.gitignore'), 'node_modules\n');
  git('init', '-q');
  git('add', '-A');
  git('-c', 'user.name=t', '-c', 'user.email=t@example.org', 'commit', '-qm', 'first');
});
afterAll(() => server.close());

describe('a copy-on-write workspace', needs('root', process.getuid?.() === 0), () => {
  it('shows the folder, owned by the user, without what is hidden', async () => {
    const made = await server.call('sandbox_create', { workspace: { local_path: 'project' } });
    expect(made.isError, made.text).toBe(false);
    expect(await bash('ls -A . src; stat -c %U a . src/deep')).toBe(
      '.:\n.git\n.gitignore\n.sandboxignore\na\nb\nblob\nc\ngone\nmoved\nsrc\n\nsrc:\ndeep\nvercel-sandbox\nvercel-sandbox\nvercel-sandbox\n',
    );
    const commit = `git switch -qc work && echo x > x && git add x &&
      git -c user.name=t -c user.email=t@example.org commit -qm second && git log --format=%s && git status --short`;
    // The hidden files are committed here; git sees them as deleted.
    expect(await bash(commit)).toBe('second\nfirst\n D .env\n D private.txt\n D src/.env.local\n');
    await bash('git switch -q -; rm -f x');
    const none = await server.call('sandbox_changes');
    expect(none.structured).toMatchObject({ changes: [], next_cursor: null });
  });

  it('lists changes, makes a patch that git takes, and applies them as git sees them', async () => {
    await bash(`echo four >> a; chmod +x b; rm gone; mv moved src/renamed; rm -r src/deep
      mkdir -p new/dir node_modules/m; echo new > new/dir/file; echo m > node_modules/m/index.js
      printf '\\0\\7' > blob; ln -s a link; ln -s /etc/passwd outside; mkfifo pipe
      echo mine > .env; touch c; git status --short > /tmp/status`);
    const list = await server.call('sandbox_changes');
    expect(list.structured['counts']).toEqual({
      added: 4,
      modified: 2,
      deleted: 3,
      renamed: 1,
      mode: 1,
      refused: 2,
    });
    expect(list.structured).toMatchObject({ ignored: 1, skipped: 1 });
    const patch = await server.call('sandbox_changes', {
      format: 'patch',
      paths: ['a', 'b', 'gone', 'src', 'new', 'blob', 'link'],
    });
    const dry = await server.call('sandbox_apply_changes', { paths: ['a'], dry_run: true });
    expect(dry.structured).toMatchObject({ applied: [{ path: 'a' }], refused: [] });
    expect(git('status', '--short')).toBe('');
    await writeFile(join(server.cwd, 'p.patch'), String(patch.structured['diff']));
    git('apply', '--index', join(server.cwd, 'p.patch'));
    const fromPatch = git('write-tree');
    git('reset', '-q', '--hard');

    // The reset has replaced these on the host, so that the sandbox has not seen them.
    const stale = await server.call('sandbox_apply_changes', { paths: ['a'] });
    expect(stale.structured).toMatchObject({ applied: [], refused: [{ path: 'a' }] });
    expect(String(stale.text)).toContain('changed on the host');

    await server.call('sandbox_create', { workspace: { local_path: 'project' } });
    await bash(`echo four >> a; chmod +x b; rm gone; mv moved src/renamed; rm -r src/deep
      mkdir -p new/dir; echo new > new/dir/file; printf '\\0\\7' > blob; ln -s a link; ln -s /etc/passwd outside
      echo mine > .env`);
    const done = await server.call('sandbox_apply_changes');
    expect(done.structured['refused']).toMatchObject([{ path: '.env' }, { path: 'outside' }]);
    git('add', '-A');
    expect(git('write-tree')).toBe(fromPatch);
    expect(await readFile(join(project, '.env'), 'utf8')).toBe('SECRET=host\n');
    expect((await stat(join(project, 'new/dir/file'))).uid).toBe((await stat(project)).uid);
    await expect(lstat(join(project, 'src/deep'))).rejects.toThrow('ENOENT');
    // What was applied is no change any more, and can be changed again.
    expect((await server.call('sandbox_changes')).structured['counts']).toMatchObject({ modified: 0 });
    await bash('echo five >> a');
    const again = await server.call('sandbox_apply_changes', { paths: ['a'] });
    expect(again.structured).toMatchObject({ applied: [{ path: 'a', status: 'modified' }], refused: [] });
  });

  it('refuses a file that the host has changed, and takes a read-only workspace', async () => {
    await server.call('sandbox_create', { workspace: { local_path: 'project' } });
    await bash(
      "echo inside >> b; echo inside >> c; echo '{}' > package.json; echo '!.env' > .sandboxignore; rm -r new; echo n > new",
    );
    await writeFile(join(project, 'b'), 'host\n');
    const answer = await server.call('sandbox_apply_changes');
    expect(answer.structured).toMatchObject({
      applied: [{ path: 'c' }, { path: 'new' }, { path: 'new/dir/file' }, { path: 'package.json' }],
      refused: [{ path: '.sandboxignore' }, { path: 'b' }],
      executes_on_host: ['package.json'],
    });
    expect(await readFile(join(project, 'new'), 'utf8')).toBe('n\n');
    expect(await readFile(join(project, '.sandboxignore'), 'utf8')).toBe('private.txt\n');
    expect(await readFile(join(project, 'b'), 'utf8')).toBe('host\n');
    const readOnly = { local_path: 'project', path: 'inner', mode: 'read-only' };
    await server.call('sandbox_create', { workspace: readOnly });
    expect(await bash('cat inner/b; ls -A inner/src; touch inner/t 2>&1 || true')).toContain('Read-only');
    failsWith(await server.call('sandbox_changes'), 'conflict', 'read-only');
  });

  it('takes hostile entries, large files and a second sandbox on the same folder', async () => {
    const create = async () =>
      String(
        (await server.call('sandbox_create', { workspace: { local_path: 'project' } })).structured[
          'sandbox_id'
        ],
      );
    const [first, second] = [await create(), await create()];
    await bash(`echo one > both; truncate -s 1G large; printf x > "$(printf 'new\\nline')"; printf x > "$(printf '\\377')"
      printf '#!/bin/sh\\n' > run; chmod 6755 run; chmod 000 b; ln -s ../.. up; ln -s a inside; mkdir -p .GIT/hooks
      echo evil > .GIT/hooks/pre-commit; ln -s /etc etc; echo q > '"quoted"'; sudo mknod null c 1 3 || true`);
    const list = await server.call('sandbox_changes', { format: 'diff', sandbox_id: second });
    const found = z.array(z.looseObject({ path: z.string() })).parse(list.structured['changes']);
    expect(found.map(({ path }) => path)).toEqual([
      '"quoted"',
      'b',
      'both',
      'etc',
      'inside',
      'large',
      'new\nline',
      'run',
      'up',
    ]);
    expect(list.structured).toMatchObject({ not_compared: ['large'], next_cursor: null });
    const wanted = ['"quoted"', 'both', 'etc', 'inside', 'new\nline', 'run', 'up'];
    const answer = await server.call('sandbox_apply_changes', { paths: wanted, sandbox_id: second });
    expect(answer.structured).toMatchObject({
      applied: wanted.filter((path) => path !== 'etc' && path !== 'up').map((path) => ({ path })),
      refused: [{ path: 'etc' }, { path: 'up' }],
    });
    expect((await stat(join(project, 'run'))).mode & 0o7777).toBe(0o755);
    expect(await readFile(join(project, 'new\nline'), 'utf8')).toBe('x');
    await expect(lstat(join(project, '.GIT'))).rejects.toThrow('ENOENT');
    // The first sandbox has not seen what the second one wrote.
    await server.call('sandbox_write_files', {
      files: [{ path: 'both', content: 'two\n' }],
      sandbox_id: first,
    });
    const late = await server.call('sandbox_apply_changes', { sandbox_id: first });
    expect(late.structured).toMatchObject({ applied: [], refused: [{ path: 'both', status: 'modified' }] });
    expect(await readFile(join(project, 'both'), 'utf8')).toBe('one\n');
  });

  const place = (name: string) => join(server.cwd, 'mounted', name);
  const overlay = () => `lowerdir=${place('lower')},upperdir=${place('upper')},workdir=${place('work')}`;
  it.for<[fileSystem: string, provision: string, mount: () => string[]]>([
    ['an overlay', 'upload', () => ['mount', '-t', 'overlay', 'overlay', '-o', overlay(), place('merged')]],
    ['FUSE', 'upload', () => ['bindfs', place('lower'), place('merged')]],
    ['a file system that cannot map ids', 'upload', () => ['mount', '-t', 'ramfs', 'ramfs', place('merged')]],
    ['tmpfs', 'overlay', () => ['mount', '-t', 'tmpfs', 'tmpfs', place('merged')]],
  ])('is on %s, as %s, and the same otherwise', async ([fileSystem, provision, mount], context) => {
    if (fileSystem === 'FUSE' && !hasFuse) return context.skip('needs bindfs and /dev/fuse');
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(place(name), { recursive: true });
    const [program = '', ...args] = mount();
    execFileSync(program, args);
    try {
      await writeFile(place('merged/a'), 'a\n');
      await writeFile(place('merged/.env'), 'SECRET=host\n');
      const workspace = { local_path: 'mounted/merged', path: '/home/work' };
      const volumes = [{ name: 'data', path: '/home/work/deep/volume' }];
      const made = await server.call('sandbox_create', { workspace, volumes });
      expect(made.structured['workspace'], made.text).toEqual({
        local_path: place('merged'),
        path: '/home/work',
        mode: 'copy-on-write',
        provision,
      });
      expect(await bash('cd /home/work; ls -A; stat -c %U . a; echo more >> a; mkdir d; echo f > d/f')).toBe(
        'a\ndeep\nvercel-sandbox\nvercel-sandbox\n',
      );
      // A volume is not part of the workspace, wherever its mount point is moved.
      await bash('cd /home/work; echo v > deep/volume/file; mv deep moved; cat moved/volume/file');
      const { diff } = (await server.call('sandbox_changes', { format: 'diff' })).structured;
      expect(diff).toContain('@@ -1,1 +1,2 @@\n a\n+more\n');
      const applied = await server.call('sandbox_apply_changes');
      expect(applied.structured).toMatchObject({ applied: [{ path: 'a' }, { path: 'd/f' }], refused: [] });
      expect(await readFile(place('merged/a'), 'utf8')).toBe('a\nmore\n');
      const info = await server.call('session_info');
      expect(JSON.stringify(info.structured['sandboxes'])).toContain(`"provision":"${provision}"`);
      await server.call('sandbox_stop', { blocking: true });
    } finally {
      execFileSync('umount', [place('merged')]);
      await rm(join(server.cwd, 'mounted'), { recursive: true });
    }
  });

  it('says when the folder has vanished', async () => {
    await mkdir(join(server.cwd, 'short-lived'));
    await server.call('sandbox_create', { workspace: { local_path: 'short-lived' } });
    await bash('echo x > x');
    await rm(join(server.cwd, 'short-lived'), { recursive: true });
    failsWith(await server.call('sandbox_changes'), 'conflict', 'was removed or replaced');
    await mkdir(join(server.cwd, 'short-lived'));
    failsWith(await server.call('sandbox_apply_changes'), 'conflict', 'was removed or replaced');
    expect(await bash('cat x')).toBe('x\n');
  });

  it('drives the whole loop on a repository of 100,000 files', async () => {
    const large = join(server.cwd, 'large');
    makeRepository(large, 100_000);
    const status = () => execFileSync('git', ['-C', large, 'status', '--short'], { encoding: 'utf8' });
    const made = await server.call('sandbox_create', { workspace: { local_path: 'large' } });
    expect(made.isError, made.text).toBe(false);
    expect(await bash('ls | wc -l; cat 7/7')).toBe('1000\n7\n');
    const edits = [{ old_text: '7', new_text: 'seven' }];
    expect((await server.call('sandbox_edit_file', { path: '7/7', edits })).isError).toBe(false);
    await bash('rm 8/8; mkdir added; echo new > added/file');
    const { diff } = (await server.call('sandbox_changes', { format: 'diff' })).structured;
    expect(status()).toBe('');
    expect((await server.call('sandbox_apply_changes')).structured['refused']).toEqual([]);
    expect(status()).toBe(' M 7/7\n D 8/8\n?? added/\n');
    execFileSync('git', ['-C', large, 'add', '-A']);
    const shown = execFileSync('git', ['-C', large, 'diff', '--cached', '--full-index'], {
      encoding: 'utf8',
    });
    const hunks = (text: unknown) =>
      String(text)
        .split('\n')
        .filter((line) => /^[-+@]/.test(line));
    expect(hunks(diff).map((line) => line.replaceAll(',1', ''))).toEqual(hunks(shown));
    await rm(large, { recursive: true });
  });

  it('refuses what cannot be a workspace', async () => {
    await symlink('/etc', join(server.cwd, 'out'));
    const create = (local_path: string, more = {}) =>
      server.call('sandbox_create', { workspace: { local_path, ...more } });
    failsWith(await create('out'), 'permission', 'outside the allowed folders');
    failsWith(await create('/'), 'permission', 'outside the allowed folders');
    failsWith(await create('project/a'), 'invalid_argument', 'not a folder');
    failsWith(await create('missing'), 'not_found', 'does not exist');
    failsWith(await create('project', { mode: 'live' }), 'permission', 'does not allow live workspaces');
    failsWith(await create('project', { path: '/etc' }), 'invalid_argument', 'cannot be used');
  });
});

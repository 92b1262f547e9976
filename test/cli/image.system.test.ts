/** `sandbox-mcp image import | list | remove`, while a server uses the same state. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/cli/verbs/image.ts';
import { busyboxEntries, tarOf } from '../support/archives.ts';
import { runVerb } from '../support/run-verb.ts';
import { type RunningServer, SERVER, startServer } from '../support/server.ts';

let folder = '';
let stateDir = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'verbs-'));
  await chmod(folder, 0o711);
  stateDir = join(folder, 's');
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const image = (...args: string[]) => runVerb(['image', ...args, '--state-dir', stateDir]);

describe('the image commands', () => {
  it('import an image for sandboxes, list it with its users, and remove it', async (context) => {
    const entries =
      busyboxEntries() ?? context.skip('busybox-static is missing; `npm test` as root installs it');
    const archive = join(folder, 'tiny.tar.gz');
    await writeFile(archive, gzipSync(tarOf(entries)));
    expect(await image('list')).toEqual({ code: 0, out: 'No images.\n', err: '' });
    const imported = await image('import', 'tiny', archive);
    expect(imported).toMatchObject({ code: 0, err: '' });
    expect(imported.out).toMatch(new RegExp(`^tiny {2}\\d+\\.\\d MB {2}linux/${process.arch}\\n$`));

    const server: RunningServer = await startServer({ stateDir });
    try {
      const made = await server.call('sandbox_create', { runtime: 'tiny' });
      expect(made.structured).toMatchObject({ runtime: 'tiny', status: 'running' });
      const sandboxId = String(made.structured['sandbox_id']);
      const motd = await server.call('sandbox_read_file', { path: '/etc/motd' });
      expect(motd.structured['content']).toBe('imported\n');
      const shell = await server.call('sandbox_shell', {});
      expect(shell.isError).toBe(false);

      const listed = await image('list');
      expect(listed.out).toMatch(/^IMAGE +KIND +SIZE +AGE +ARCH +IN USE BY\ntiny +rootfs /);
      expect(listed.out).toContain(sandboxId);
      const json: unknown = JSON.parse((await image('list', '--json')).out);
      expect(json).toMatchObject([{ name: 'tiny', usedBy: [sandboxId], notes: [] }]);
      const record = join(stateDir, 'images/tiny/record.json');
      // As an earlier version wrote it.
      await writeFile(record, (await readFile(record, 'utf8')).replace(/\n *"caLinks": \d+,/, ''));
      const older: unknown = JSON.parse((await image('list', '--json')).out);
      expect(older).toMatchObject([{ name: 'tiny', notes: [expect.stringContaining('earlier version')] }]);
      const refused = await image('remove', 'tiny');
      expect(refused.code).toBe(1);
      expect(refused.err).toBe(
        `sandbox-mcp: Image "tiny" is in use by ${sandboxId}.\nStop the sandboxes and delete the snapshots that use it, then try again.\n`,
      );
    } finally {
      await server.close();
    }
    expect(await image('remove', 'tiny')).toEqual({ code: 0, out: 'removed  tiny\n', err: '' });
    expect(await readdir(join(stateDir, 'images'))).toEqual([]);
  });

  it('report what is wrong and what to do', async () => {
    const archive = join(folder, 'large.tar');
    const zeros = { path: 'usr/zeros', content: Buffer.alloc(100_000) };
    await writeFile(archive, tarOf([{ path: 'usr', type: '5', mode: 0o755 }, zeros]));
    const cases: [string[], number, string][] = [
      [
        ['import', 'x', archive, '--max-size', '64k'],
        1,
        'larger than 65536 bytes.\nIf this is intended, raise the limit with --max-size BYTES.',
      ],
      [['import', 'x', archive, '--max-size', 'much'], 2, '--max-size: "much" is not a size'],
      [['import', 'x', join(folder, 'missing.tar')], 1, 'cannot be read (ENOENT)'],
      [['import', 'x', folder], 1, 'is not an archive'],
      [['import', 'X Y', archive], 1, 'is not a valid image name'],
      [['remove', 'missing'], 1, 'Image "missing" does not exist.\nThere are no images.'],
      [['import', 'x'], 2, "missing required argument 'archive'"],
      [
        ['frobnicate'],
        2,
        '"frobnicate" is not a subcommand of image; valid ones are import, build, pull, prune, list, remove.',
      ],
    ];
    for (const [args, code, words] of cases) {
      const answer = await image(...args);
      expect(answer, args.join(' ')).toMatchObject({ code, out: '', err: expect.stringContaining(words) });
    }
    expect((await readdir(join(stateDir, 'images'))).sort()).toEqual([]);
  });

  it('build the image of a Dockerfile with buildah, for a sandbox', async (context) => {
    const entries =
      busyboxEntries() ?? context.skip('busybox-static is missing; `npm test` as root installs it');
    if (!existsSync('/usr/bin/buildah'))
      context.skip('buildah is missing; on Debian: apt-get install buildah');
    const project = join(folder, 'project');
    await mkdir(project);
    await writeFile(join(project, 'root.tar'), tarOf(entries));
    await writeFile(join(project, 'Dockerfile'), 'FROM scratch\nCOPY missing /\n');
    const storage = join(folder, 'storage.conf');
    const [graph, run] = [join(folder, 'graph'), join(folder, 'run')];
    await writeFile(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${graph}"\nrunroot = "${run}"\n`);
    const build = (env: Record<string, string>) =>
      runVerb(['image', 'build', 'built', project, '--state-dir', stateDir], env);

    const missing = await build({ PATH: folder });
    expect(missing).toMatchObject({ code: 1, out: '' });
    expect(missing.err).toContain('Neither buildah nor docker is installed');
    const failed = await build({ CONTAINERS_STORAGE_CONF: storage });
    expect(failed).toMatchObject({ code: 1, out: '' });
    expect(failed.err).toContain('`buildah build` failed; its message is above.');

    await writeFile(join(project, 'Dockerfile'), 'FROM scratch\nADD root.tar /\nENV GREETING=built\n');
    const built = await build({ CONTAINERS_STORAGE_CONF: storage });
    expect(built.out, built.err).toMatch(/^built {2}\d+\.\d MB {2}linux\/\w+\n$/);
    const server = await startServer({ stateDir });
    try {
      await server.call('sandbox_create', { runtime: 'built' });
      const answer = await server.call('sandbox_run_command', {
        cmd: 'sh',
        args: ['-c', 'echo $GREETING; cat /etc/motd'],
      });
      expect(answer.structured).toMatchObject({ exit_code: 0, stdout: 'built\nimported\n' });
    } finally {
      await server.close();
    }
    expect(await image('remove', 'built')).toMatchObject({ code: 0 });
  });

  it('leave nothing of an interrupted import', async () => {
    const archive = join(folder, 'slow.tar');
    const parts = [1, 2, 3, 4].map((n) => ({ path: `usr/${n}`, content: Buffer.alloc(8_000_000) }));
    await writeFile(archive, tarOf([{ path: 'usr', type: '5', mode: 0o755 }, ...parts]));
    const child = spawn(
      process.execPath,
      [SERVER, 'image', 'import', 'slow', archive, '--state-dir', stateDir],
      {
        stdio: 'ignore',
      },
    );
    const ended = once(child, 'close');
    const images = join(stateDir, 'images');
    await expect.poll(() => readdir(images), { interval: 2 }).not.toEqual([]);
    child.kill('SIGINT');
    expect((await ended)[0]).toBe(1);
    expect(await readdir(images)).toEqual([]);
  });

  it('remove what a killed command left', async () => {
    const archive = join(folder, 'slow.tar');
    const images = join(stateDir, 'images');
    const child = spawn(
      process.execPath,
      [SERVER, 'image', 'import', 'slow', archive, '--state-dir', stateDir],
      {
        stdio: 'ignore',
      },
    );
    const ended = once(child, 'close');
    await expect.poll(() => readdir(images), { interval: 2 }).not.toEqual([]);
    child.kill('SIGKILL');
    await ended;
    expect(await runVerb(['clean', '--state-dir', stateDir])).toMatchObject({ code: 0 });
    expect(await readdir(images)).toEqual([]);
  });
});

describe('a size', () => {
  it.each([
    ['4096', 4_096],
    ['64k', 65_536],
    ['16G', 17_179_869_184],
  ])('is parsed: %s', (text, bytes) => expect(bytesOf(text)).toBe(bytes));

  it.each(['', '12', '1.5g', '-1g', '9999999t', '1e9'])('is rejected: %j', (text) =>
    expect(() => bytesOf(text)).toThrow('is not a size'),
  );
});

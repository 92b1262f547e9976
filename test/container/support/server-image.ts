/** The image of the server, built from the package of this checkout on a small Debian with this machine's Node. */
import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { makeDebian } from '../../images/support/debian.ts';
import type { DockerDaemon } from './docker-daemon.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../..');
/** A Debian with Node and npm where the official image has them. */
export const BASE = 'base:test';
export const IMAGE = 'sandbox-mcp:test';

/** Packs this checkout into a folder; returns the path of the archive. */
export async function packPackage(folder: string): Promise<string> {
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await run('npm', args, { cwd: ROOT });
  return join(folder, stdout.trim());
}

/** @throws why it cannot be built here */
export async function buildBase({ docker }: DockerDaemon): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'base-'));
  const debian = await makeDebian();
  try {
    if (typeof debian === 'string') throw new Error(debian);
    const context = join(home, 'context');
    await mkdir(context);
    await copyFile(debian.path, join(context, 'debian.tar'));
    await copyNode(home);
    const owner = ['--owner=0', '--group=0'];
    await run('tar', ['--create', `--file=${join(context, 'node.tar')}`, ...owner, '-C', home, './usr']);
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const lines = ['FROM scratch', 'ADD debian.tar /', 'ADD node.tar /', `ENV ${path}`];
    await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
    await docker('build', '--tag', BASE, context);
  } finally {
    if (typeof debian !== 'string') await debian.remove();
    await rm(home, { recursive: true, force: true });
  }
}

/** Copies this machine's Node and npm to where the official image has them, below `root`. */
export async function copyNode(root: string): Promise<void> {
  const place = join(root, 'usr/local');
  for (const folder of ['bin', 'lib/node_modules']) await mkdir(join(place, folder), { recursive: true });
  await copyFile(process.execPath, join(place, 'bin/node'));
  const { stdout } = await run('sh', ['-c', 'command -v npm']);
  const npm = dirname(dirname(await realpath(stdout.trim())));
  await cp(npm, join(place, 'lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(place, 'bin', name));
}

/** Builds it with `docker`, as a release does. */
export async function buildServerImage({ host }: DockerDaemon, archive: string): Promise<void> {
  const options = ['--network=host', '--build-arg', `BASE=${BASE}`, '--tag', IMAGE];
  const args = ['scripts/build-container.mjs', 'docker', '--package', archive, ...options];
  const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '0' };
  await run(process.execPath, args, { cwd: ROOT, env, maxBuffer: 1e8 });
}

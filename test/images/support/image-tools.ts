/**
 * Images made by the tools themselves (umoci, buildah, skopeo) in a temporary folder, for tests that import
 * them.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  rm,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What this machine lacks for these tests, as a sentence; null if nothing. */
export function missingTools(...tools: string[]): string | null {
  const missing = tools.filter(
    (tool) => !['/usr/bin', '/usr/local/bin'].some((dir) => existsSync(join(dir, tool))),
  );
  if (missing.length > 0) return `needs ${missing.join(', ')}; \`npm test\` as root installs what Debian has`;
  return process.getuid?.() === 0 ? null : 'only root can unpack with the owners of an image';
}

export interface ImageTools {
  /** An OCI image layout with the image `two` of three layers. */
  readonly layout: string;
  path(...parts: string[]): string;
  skopeo(...args: string[]): Promise<void>;
  buildah(...args: string[]): Promise<string>;
  tar(archive: string, directory: string): Promise<string>;
  /** The tree of an image as umoci unpacks it. */
  unpack(layout: string, tag: string): Promise<string>;
  close(): Promise<void>;
}

const OLD = new Date('1965-03-04T05:06:07Z');
const PAST = new Date('2001-02-03T04:05:06Z');

/** The content of a lower layer: names, owners, modes and times of every kind. */
export async function fillLower(root: string): Promise<void> {
  for (const directory of ['usr/bin', 'usr/deep/er', 'etc', 'opt/rm/tree', 'opt/opaque', 'srv'])
    await mkdir(join(root, directory), { recursive: true });
  const files: [path: string, mode: number, uid: number, gid: number][] = [
    ['usr/bin/setuid', 0o4755, 0, 0],
    ['usr/bin/secret', 0o000, 0, 42],
    ['usr/deep/er/file', 0o644, 1000, 1000],
    ['etc/conf', 0o640, 0, 7],
    ['opt/rm/one', 0o644, 0, 0],
    ['opt/rm/two', 0o644, 0, 0],
    ['opt/rm/three', 0o644, 0, 0],
    ['opt/rm/tree/leaf', 0o644, 0, 0],
    ['opt/opaque/old', 0o644, 0, 0],
    ['opt/replaced', 0o644, 0, 0],
    ['opt/kept', 0o644, 0, 0],
    [`opt/${'long'.repeat(40)}`, 0o644, 0, 0],
  ];
  for (const [path, mode, uid, gid] of files) {
    await writeFile(join(root, path), `${path}\n`);
    await chown(join(root, path), uid, gid);
    await chmod(join(root, path), mode);
    await utimes(join(root, path), PAST, PAST);
  }
  // Go writes this name in an extension header, where it is not UTF-8.
  await writeFile(Buffer.concat([Buffer.from(join(root, 'opt/latin')), Buffer.from([0xe9])]), 'latin\n');
  await link(join(root, 'opt/kept'), join(root, 'opt/again'));
  for (const [name, target] of [
    ['absolute', '/etc/conf'],
    ['dangling', 'nowhere'],
    ['up', '../etc/conf'],
  ] as const) {
    await symlink(target, join(root, 'opt', name));
    await lutimes(join(root, 'opt', name), PAST, PAST);
  }
  await writeFile(join(root, 'usr/bin/capable'), 'capable\n');
  // An attribute that the import leaves out, without harm to the entry.
  await run('setcap', ['cap_net_raw=ep', join(root, 'usr/bin/capable')]);
  await writeFile(join(root, 'opt/sparse'), 'start\n');
  await truncate(join(root, 'opt/sparse'), 200_000);
  await chmod(join(root, 'srv'), 0o2750);
  await utimes(join(root, 'usr/deep/er/file'), OLD, OLD);
  for (const directory of ['usr/deep/er', 'usr/deep', 'srv']) await utimes(join(root, directory), OLD, OLD);
}

/** The changes of the layer above it. */
export async function changeUpper(root: string): Promise<void> {
  for (const name of ['opt/rm/one', 'opt/rm/two', 'opt/dangling', 'opt/replaced'])
    await unlink(join(root, name));
  for (const name of ['opt/rm/tree', 'opt/opaque']) await rm(join(root, name), { recursive: true });
  await mkdir(join(root, 'opt/opaque'));
  await writeFile(join(root, 'opt/opaque/new'), 'new\n');
  await mkdir(join(root, 'opt/replaced'));
  await writeFile(join(root, 'opt/replaced/inside'), 'inside\n');
  await appendFile(join(root, 'etc/conf'), 'more\n');
  await chmod(join(root, 'srv'), 0o711);
}

export async function openImageTools(): Promise<ImageTools> {
  const home = await mkdtemp(join(tmpdir(), 'tools-'));
  const path = (...parts: string[]) => join(home, ...parts);
  const layout = path('layout');
  const umoci = (...args: string[]) => run('umoci', args, { cwd: home });
  const storage = ['--storage-driver', 'overlay', '--root', path('store'), '--runroot', path('run')];
  const bundle = path('made');
  await umoci('init', '--layout', layout);
  await umoci('new', '--image', `${layout}:one`);
  await umoci('unpack', '--image', `${layout}:one`, bundle);
  await fillLower(join(bundle, 'rootfs'));
  await umoci('repack', '--image', `${layout}:one`, bundle);
  await rm(bundle, { recursive: true });
  await umoci('unpack', '--image', `${layout}:one`, bundle);
  await changeUpper(join(bundle, 'rootfs'));
  await umoci('repack', '--image', `${layout}:two`, bundle);
  await mkdir(path('inserted'));
  await writeFile(path('inserted/file'), 'inserted\n');
  // Marks the directory as opaque, in a layer without end blocks.
  await umoci('insert', '--opaque', '--image', `${layout}:two`, path('inserted'), '/opt/rm');
  await umoci('insert', '--whiteout', '--image', `${layout}:two`, '/opt/up');
  let unpacked = 0;
  return {
    layout,
    path,
    async skopeo(...args) {
      await run('skopeo', args, { cwd: home });
    },
    async buildah(...args) {
      return (await run('buildah', [...storage, ...args], { cwd: home })).stdout.trim();
    },
    async tar(archive, directory) {
      await run('tar', ['-cf', path(archive), '-C', directory, '.']);
      return path(archive);
    },
    async unpack(from, tag) {
      unpacked += 1;
      const to = path(`unpacked-${unpacked}`);
      await umoci('unpack', '--image', `${from}:${tag}`, to);
      return join(to, 'rootfs');
    },
    close: () => rm(home, { recursive: true, force: true }),
  };
}

/** The base directories of a sandbox: the host's system directories, or those of an image. */
import { join } from 'node:path';
import type { ImageRecord } from '../../../images/image-record.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { packageStateOf, packageVariable } from '../host/etc-template.ts';
import type { Host } from '../host/host.ts';
import { packageStateLayers } from '../host/package-database.ts';
import { DPKG_DATABASE, FRESH_DIRECTORIES, isMountPoint } from '../host/system-directories.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/**
 * Null for a top-level directory that starts empty.
 * @property above further layers, the uppermost first
 */
export type BaseDirectory = { path: string; ofHost: boolean; above?: string[] } | null;

export interface Base {
  /** The writable directories. `place` is the path of one that is not at the top level. */
  directories: { name: string; place?: string; base: BaseDirectory }[];
  /** Links at the top such as `bin` → `usr/bin`. */
  links: { name: string; target: string }[];
}

async function hostBase(host: Host, etcTemplate: string, node: ImageRecord | null): Promise<Base> {
  const template = join(host.layout.etcTemplates, etcTemplate);
  const variable = await packageVariable(template);
  const fresh = (name: string): BaseDirectory => {
    if (name === 'var' && variable !== null) return { path: variable, ofHost: false };
    // An image of a Node release contains it as `runtimes/node22`.
    if (name === 'vercel' && node !== null) return { path: host.images.treeOf(node.name), ofHost: false };
    return null;
  };
  // If `/usr` belongs to the sandbox's root, its package manager works and needs the host's package database.
  const packages = host.system.dpkg && host.mounts === 'by-root';
  // A snapshot from an earlier version has no state of its own.
  const above = packages ? await packageStateLayers(packageStateOf(template)) : [];
  const database = { path: `/${DPKG_DATABASE}`, ofHost: true, above };
  const dpkg = { name: 'dpkg', place: DPKG_DATABASE, base: database };
  return {
    directories: [
      ...host.system.directories.map((name) => ({ name, base: { path: `/${name}`, ofHost: true } })),
      { name: 'etc', base: { path: template, ofHost: false } },
      ...FRESH_DIRECTORIES.map((name) => ({ name, base: fresh(name) })),
      ...(packages ? [dpkg] : []),
    ],
    links: host.system.links,
  };
}

function imageBase(host: Host, image: ImageRecord): Base {
  const tree = host.images.treeOf(image.name);
  const own = Object.keys(image.directories);
  const missing = FRESH_DIRECTORIES.filter((name) => !own.includes(name));
  return {
    directories: [
      ...own.map((name) => ({ name, base: { path: join(tree, name), ofHost: false } })),
      ...missing.map((name) => ({ name, base: null })),
    ],
    // Leave out links in place of directories that every sandbox has of its own.
    links: image.links.filter(({ name }) => !isMountPoint(name) && !missing.some((other) => other === name)),
  };
}

/** The base of a sandbox, from its record. */
export async function findBase(
  host: Host,
  { etcTemplate, image }: Pick<SandboxRecord, 'etcTemplate' | 'image'>,
): Promise<Base> {
  if (image === null) return hostBase(host, etcTemplate, null);
  const record = await host.images.find(image);
  if (record === null) {
    throw new SandboxError('unavailable', `Image "${image}" no longer exists.`, {
      hint: `Available as runtime: ${(await host.images.names()).join(', ') || 'the runtime of the host'}.`,
      details: { image },
    });
  }
  if (record.ids !== host.images.host.ids) {
    throw new SandboxError(
      'conflict',
      `Image "${image}" was created with a different user id mapping than this server's.`,
      {
        hint: 'The operator can restore the previous lines of /etc/subuid, or remove the image and import it again.',
        details: { image },
      },
    );
  }
  return record.kind === 'node' ? hostBase(host, etcTemplate, record) : imageBase(host, record);
}

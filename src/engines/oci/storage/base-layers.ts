/** What is at the very bottom of a sandbox: the host's system directories, or those of an image. */
import { join } from 'node:path';
import type { ImageRecord } from '../../../images/image-record.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import { DPKG_DATABASE, FRESH_DIRECTORIES, isMountPoint } from '../host/system-directories.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/** Null where a top-level directory starts empty. */
export type BaseDirectory = { path: string; ofHost: boolean } | null;

export interface Base {
  /** Every directory that keeps what is written to it: those at the top, and `place` where it is not at the top. */
  directories: { name: string; place?: string; base: BaseDirectory }[];
  /** Links at the top such as `bin` → `usr/bin`. */
  links: { name: string; target: string }[];
}

function hostBase(host: Host, etcTemplate: string, node: ImageRecord | null): Base {
  const fresh = (name: string): BaseDirectory =>
    // A Node release lies in an image as `runtimes/node22`.
    name === 'vercel' && node !== null ? { path: host.images.treeOf(node.name), ofHost: false } : null;
  // Where `/usr` belongs to the sandbox's root, its package manager works, and has to know what is there.
  const packages = host.system.dpkg && host.mounts === 'by-root';
  const dpkg = { name: 'dpkg', place: DPKG_DATABASE, base: { path: `/${DPKG_DATABASE}`, ofHost: true } };
  return {
    directories: [
      ...host.system.directories.map((name) => ({ name, base: { path: `/${name}`, ofHost: true } })),
      { name: 'etc', base: { path: join(host.layout.etcTemplates, etcTemplate), ofHost: false } },
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
    // A link in the place of what every sandbox has for itself gives way.
    links: image.links.filter(({ name }) => !isMountPoint(name) && !missing.some((other) => other === name)),
  };
}

/** What a sandbox stands on, by its record. */
export async function findBase(
  host: Host,
  { etcTemplate, image }: Pick<SandboxRecord, 'etcTemplate' | 'image'>,
): Promise<Base> {
  if (image === null) return hostBase(host, etcTemplate, null);
  const record = await host.images.find(image);
  if (record === null) {
    throw new SandboxError('unavailable', `Image "${image}" is gone.`, {
      hint: `Available as runtime: ${(await host.images.names()).join(', ') || 'what the host has'}.`,
      details: { image },
    });
  }
  if (record.ids !== host.images.host.ids) {
    throw new SandboxError(
      'conflict',
      `Image "${image}" was made with other user ids than this server has now.`,
      {
        hint: 'The operator can restore the lines of /etc/subuid, or remove the image and import it again.',
        details: { image },
      },
    );
  }
  return record.kind === 'node' ? hostBase(host, etcTemplate, record) : imageBase(host, record);
}

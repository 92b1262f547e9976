/** Assembles the top-level directories of a sandbox from layers: the base, those of snapshots, its own. */
import { join } from 'node:path';
import type { Host } from '../host/host.ts';
import type { BaseLayers } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { Base, BaseDirectory } from './base-layers.ts';
import type { MappedDirectories } from './mapped-directories.ts';
import { layerPaths } from './rootfs.ts';

/** A top-level directory of a sandbox. */
export interface TopDirectory {
  /** Names its layers. */
  name: string;
  /** Path inside the sandbox, without the leading slash. */
  place: string;
  /** The lowest layer: a directory of the host or of an image, or the template of `/etc`. */
  base: BaseDirectory;
  /**
   * Names of the links in the bundle's `l` to the snapshot layers that contain this directory; newest first.
   */
  links: string[];
}

/** Every writable top-level directory. */
export function topDirectories(base: Base, baseLayers: BaseLayers): TopDirectory[] {
  const links = (name: string) =>
    baseLayers.layers.flatMap(({ directories }, index) =>
      directories.includes(name) ? [String(index)] : [],
    );
  return base.directories.map(({ name, place = name, base: bottom }) => ({
    name,
    place,
    base: bottom,
    links: links(name),
  }));
}

/** True for a directory with layers below the sandbox's own files. */
function isLayered({ base, links }: TopDirectory): boolean {
  return base !== null || links.length > 0;
}

/**
 * Mount points of root's mounts in the bundle. Relative, because mount options are limited to 4,096 bytes.
 */
const MERGED = 'm';
const MAPPED = 'b';
const LINKS = 'l';

/** Directories to create in the bundle: mount points for root's mounts, and the directory of the links. */
export function bundleDirectories(host: Host, tops: TopDirectory[]): string[] {
  if (host.mounts === 'by-runtime') return [LINKS];
  const layered = tops.filter(isLayered);
  return [
    LINKS,
    MERGED,
    MAPPED,
    ...layered.map(({ name }) => join(MERGED, name)),
    ...layered.flatMap(({ name, base }) => (base?.ofHost ? [join(MAPPED, name)] : [])),
  ];
}

/** The links in the bundle: place and target. */
export function layerLinks(
  host: Host,
  mapped: MappedDirectories,
  baseLayers: BaseLayers,
): { place: string; target: string }[] {
  return baseLayers.layers.map(({ snapshotId }, index) => ({
    place: join(LINKS, String(index)),
    target: mapped.forRuntime(host.layout.snapshot(snapshotId).layer),
  }));
}

/** Options of the agent's `launch` for the mounts that root makes (see agent/host/launch.c). */
export function launchMounts(
  host: Host,
  paths: SandboxPaths,
  mappedDirectories: MappedDirectories,
  tops: TopDirectory[],
): string[] {
  if (host.mounts === 'by-runtime') return [];
  const options = mappedDirectories.launchOptions();
  const place = (path: string) => mappedDirectories.inBundle(path);
  for (const top of tops.filter(isLayered)) {
    const { name, base, links } = top;
    const mapped = join(MAPPED, name);
    if (base?.ofHost) options.push('--map', base.path, mapped);
    const above = (base?.above ?? []).map(place);
    const bottom = base === null ? [] : [...above, base.ofHost ? mapped : place(base.path)];
    const lower = [...links.map((link) => `${LINKS}/${link}/${name}`), ...bottom].join(':');
    const { upper, work } = layerPaths(paths, name);
    const own = `upperdir=${place(upper)},workdir=${place(work)}`;
    options.push('--overlay', join(MERGED, name), `lowerdir=${lower},${own}`);
  }
  return options;
}

/** A mount of config.json (OCI runtime specification, `mounts`). */
export interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** The runtime's mount for one top-level directory. */
export function topMount(
  host: Host,
  paths: SandboxPaths,
  mapped: MappedDirectories,
  top: TopDirectory,
): Mount {
  const { name, place, base, links } = top;
  const { upper, work } = layerPaths(paths, name);
  if (host.mounts === 'by-root' || !isLayered(top)) {
    const source = isLayered(top) ? join(paths.bundle, MERGED, name) : mapped.forRuntime(upper);
    return { destination: `/${place}`, type: 'bind', source, options: ['bind', 'nosuid', 'nodev'] };
  }
  const layers = links.map((link) => join(paths.bundle, LINKS, link, name));
  const lower = [...layers, ...(base === null ? [] : [...(base.above ?? []), base.path])].join(':');
  // `userxattr` makes whiteouts work in a user namespace (without it `rm -rf` of a lower directory fails);
  // without `volatile`, ending a sandbox would wait until all dirty pages of the host's disk are written.
  const options = [
    `lowerdir=${lower}`,
    `upperdir=${upper}`,
    `workdir=${work}`,
    'userxattr',
    'volatile',
    'nosuid',
    'nodev',
  ];
  return { destination: `/${place}`, type: 'overlay', source: 'overlay', options };
}

const OPTION_BYTES = 4_095;
/** Far below the kernel's limit of 500: each layer makes path lookups slower. */
const MAX_LAYERS = 100;

/** How many snapshot layers a sandbox of this host can have. */
export function maxLayers(host: Host): number {
  const { bundle, upper } = host.layout.sandbox('sbx_222222222222');
  // The names of an image and of one of its directories, up to 63 bytes each; or the two layers of the
  // package database.
  const base = Math.max(host.layout.images.length + 2 * 63, 2 * (host.layout.etcTemplates.length + 32));
  const fixed = 400 + 2 * upper.length + base;
  const one = (host.mounts === 'by-root' ? '' : `${bundle}/`).length + 'l/99/vercel:'.length;
  return Math.max(1, Math.min(MAX_LAYERS, Math.floor((OPTION_BYTES - fixed) / one)));
}

/**
 * Directories of the state directory as a sandbox with ids of its own sees them: root's launcher mounts them in
 * the bundle, with the disk ids mapped to the sandbox's, and makes everything else of these mounts.
 */
import { join, relative } from 'node:path';
import type { Host } from '../host/host.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import { volumePaths } from '../state/volume-record.ts';

/** What of a record decides which directories a sandbox needs. */
export type MappedFor = Pick<SandboxRecord, 'idBase' | 'image' | 'baseLayers' | 'volumes'>;

interface Mapped {
  source: string;
  /** Mount point in the bundle. Short, because mount options are limited to 4,096 bytes. */
  place: string;
  writable: boolean;
}

export class MappedDirectories {
  readonly #bundle: string;
  readonly #diskBase: number;
  readonly #mapped: Mapped[];

  constructor(
    { layout, diskIds }: Pick<Host, 'layout' | 'diskIds'>,
    paths: SandboxPaths,
    request: MappedFor,
  ) {
    this.#bundle = paths.bundle;
    this.#diskBase = diskIds.hostUid;
    this.#mapped = [];
    if (request.idBase === null) return;
    const add = (source: string, place: string, writable = false) =>
      this.#mapped.push({ source, place, writable });
    add(paths.layers, 'o', true);
    add(layout.etcTemplates, 'e');
    if (request.image !== null) add(layout.images, 'i');
    if (request.baseLayers.layers.length > 0) add(layout.snapshots, 's');
    for (const [index, { id, readOnly }] of request.volumes.entries())
      add(volumePaths(layout, id).data, `v${index}`, !readOnly);
  }

  /** Mount points to create in the bundle. */
  places(): string[] {
    return this.#mapped.map(({ place }) => place);
  }

  /** Options of the agent's `launch`, after `--ids` and before all others. */
  launchOptions(): string[] {
    if (this.#mapped.length === 0) return [];
    const mounts = this.#mapped.flatMap(({ source, place, writable }) => [
      ...['--map-disk', source, place, writable ? 'rw' : 'ro'],
    ]);
    return ['--disk-ids', String(this.#diskBase), ...mounts];
  }

  /** Where the launcher finds a path of the state directory, relative to the bundle if it is mounted there. */
  inBundle(path: string): string {
    for (const { source, place } of this.#mapped) {
      const below = relative(source, path);
      if (below === '') return place;
      if (!below.startsWith('..') && !below.startsWith('/')) return join(place, below);
    }
    return path;
  }

  /** The same as an absolute path, for the runtime. */
  forRuntime(path: string): string {
    const found = this.inBundle(path);
    return found === path ? path : join(this.#bundle, found);
  }
}

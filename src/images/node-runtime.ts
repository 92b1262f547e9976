/** Installs Node releases as runtimes: Node and npm from the npm registry, as an image. */
import { maxSatisfying, rcompare, satisfies } from 'semver';
import type { NpmSetting } from '../config/config.ts';
import { anySignal } from '../shared/async/any-signal.ts';
import { SandboxError, throwIfCancelled } from '../shared/errors.ts';
import { ByteLimit } from './byte-limit.ts';
import { decompressed } from './decompress.ts';
import { nodeMajor } from './image-name.ts';
import type { ImageRecord, MadeImage } from './image-record.ts';
import type { ImageStore } from './image-store.ts';
import { NpmRegistry, type Release } from './npm-registry.ts';
import { readTar } from './tar/tar-reader.ts';
import type { Unpacker } from './unpacker.ts';

/** Limit of the unpacked size; a release takes about 120 MB. */
const MAX_BYTES = 1_073_741_824;
const FETCH_MS = 15 * 60_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Location in the sandbox, relative to `/vercel`. */
function placeOf(name: string): string {
  return `runtimes/${name}`;
}

/** The files of an npm archive, whose names start with `package/`. */
async function unpackPackage(
  unpacker: Unpacker,
  source: AsyncIterable<Buffer>,
  place: (path: string) => { path: string; executable: boolean } | null,
): Promise<void> {
  await readTar(decompressed(source, new ByteLimit(MAX_BYTES)), async (entry) => {
    // The first component is usually `package`, but nothing requires it.
    const found = entry.kind === 'file' ? place(entry.path.split('/').slice(1).join('/')) : null;
    if (found === null) return;
    const { path, executable } = found;
    const { mtime, size, content } = entry;
    await unpacker.step({ kind: 'file', path, mode: executable ? 0o755 : 0o644, mtime, size }, content);
  });
}

function newest(releases: Release[], range: string): Release | null {
  const version = maxSatisfying(
    releases.map((release) => release.version),
    range,
  );
  return releases.find((release) => release.version === version) ?? null;
}

/** The newest npm whose `engines` field includes that version of Node. */
function npmFor(releases: Release[], node: string): Release | null {
  const fitting = releases.filter(({ engines }) => engines !== null && satisfies(node, engines));
  return fitting.sort((a, b) => rcompare(a.version, b.version))[0] ?? null;
}

async function build(
  store: ImageStore,
  registry: NpmRegistry,
  name: string,
  tree: string,
  signal: AbortSignal,
): Promise<MadeImage> {
  const { arch } = store.host;
  const major = nodeMajor(name) ?? '';
  const nodePackage = `node-linux-${arch}`;
  const [nodes, npms] = await Promise.all([
    registry.releases(nodePackage, signal),
    registry.releases('npm', signal),
  ]);
  const node = newest(nodes, `^${major}.0.0`);
  if (node === null) {
    throw new SandboxError('invalid_argument', `There is no release of Node ${major} for linux/${arch}.`, {
      details: { runtime: name },
    });
  }
  const npm = npmFor(npms, node.version);
  const unpacker = await store.host.startUnpacker(tree, null, signal);
  try {
    const home = placeOf(name);
    await unpackPackage(unpacker, registry.archive(nodePackage, node, signal), (path) =>
      path === 'bin/node' || path === 'LICENSE'
        ? { path: `${home}/${path}`, executable: path === 'bin/node' }
        : null,
    );
    if (npm !== null) {
      const modules = `${home}/lib/node_modules/npm`;
      await unpackPackage(unpacker, registry.archive('npm', npm, signal), (path) =>
        path === '' ? null : { path: `${modules}/${path}`, executable: /^bin\/[^/]+\.js$/.test(path) },
      );
      for (const program of ['npm', 'npx']) {
        const link = `../lib/node_modules/npm/bin/${program}-cli.js`;
        await unpacker.step({ kind: 'symlink', path: `${home}/bin/${program}`, link });
      }
    }
    const flattenedOwners = await unpacker.finish();
    return {
      kind: 'node',
      version: node.version,
      digest: null,
      references: [],
      layers: [],
      sizeBytes: unpacker.sizeBytes,
      env: { PATH: `/vercel/${home}/bin:${PATH}` },
      shell: '/bin/bash',
      directories: {},
      links: [],
      flattenedOwners,
      skipped: [],
      skippedCount: 0,
    };
  } finally {
    await unpacker.close();
  }
}

/**
 * The runtime for a Node release. Downloads it if it is not installed; concurrent callers share one download.
 *
 * @throws `invalid_argument` if there is no such release, `unavailable` if it cannot be downloaded
 */
export async function ensureNodeRuntime(
  store: ImageStore,
  source: NpmSetting,
  name: string,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const present = await store.find(name);
  if (present !== null) return present;
  const limited = anySignal([signal, AbortSignal.timeout(FETCH_MS)]);
  const fetched = store.makingOnce(
    name,
    async () => {
      const made = await store.find(name);
      if (made !== null) return made;
      throwIfCancelled(signal);
      const registry = await NpmRegistry.open(source);
      try {
        return await store.make(name, ({ tree }) => build(store, registry, name, tree, limited), limited);
      } finally {
        await registry.close();
      }
    },
    { waitMs: FETCH_MS, signal },
  );
  try {
    return await fetched;
  } catch (error) {
    throwIfCancelled(signal);
    if (!limited.aborted) throw error;
    throw new SandboxError(
      'timeout',
      `Runtime "${name}" could not be fetched within ${FETCH_MS / 60_000} minutes.`,
      {
        hint: 'Choose an installed runtime.',
        cause: error,
      },
    );
  }
}

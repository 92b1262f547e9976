/** Unpacks an image's root file system and describes it for the record. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '../shared/errors.ts';
import { ByteLimit } from './byte-limit.ts';
import { decompressed } from './decompress.ts';
import { caCertificates, linkCaStores, shellOf, writeEtc } from './etc-files.ts';
import type { StoredImage } from './image-archive.ts';
import { wrongArchitecture } from './image-manifest.ts';
import type { MadeImage } from './image-record.ts';
import type { ImageStore, Staging } from './image-store.ts';
import { notedFiles } from './layers/content-notes.ts';
import type { StoredLayer } from './layers/stored-layer.ts';
import { RootTree } from './root-tree.ts';

/** Every sandbox has its own instances of these. */
const NOT_FROM_IMAGES = ['dev', 'proc', 'run', 'sys', 'tmp', '.agent'];
/** Directory names that are safe in mount options. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/;
const MAX_TOP_DIRECTORIES = 64;
/** Variables that depend on the user who runs a command. */
const NOT_ENV = ['HOME', 'USER', 'LOGNAME', 'SHELL', 'PWD', 'HOSTNAME', 'TERM'];
const MAX_ENV_BYTES = 65_536;
/** Read at a time: the entries in it are handled in one turn of the event loop. */
const CHUNK_BYTES = 65_536;

/** The environment from the image's configuration, without the variables it may not set. */
function environmentOf(pairs: string[]): Record<string, string> {
  const entries = pairs.flatMap((pair) => {
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    return at > 0 && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !NOT_ENV.includes(name) && !pair.includes('\0')
      ? [[name, pair.slice(at + 1)] as const]
      : [];
  });
  const bytes = entries.reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(value), 0);
  return bytes > MAX_ENV_BYTES ? {} : Object.fromEntries(entries);
}

/** What an image is made of: an archive of its whole root file system, its layers, or layers of the store. */
export type RootfsSource =
  | { archive: string }
  | Pick<StoredImage, 'layers' | 'env'>
  | { stored: readonly StoredLayer[]; env: string[] };

/** Opens an archive or a layer of any known compression. */
export function openArchive(path: string, limit: ByteLimit, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return decompressed(createReadStream(path, { highWaterMark: CHUNK_BYTES, signal }), limit);
}

/**
 * Unpacks an image's root file system into the staging tree.
 * @param maxBytes limit of the unpacked size
 */
export async function buildRootfs(
  store: ImageStore,
  staging: Staging,
  source: RootfsSource,
  maxBytes: number,
  signal: AbortSignal,
): Promise<MadeImage> {
  const { arch, caLinks } = store.host;
  const shared = 'stored' in source && source.stored.length > 0 ? store.layersDirectory : null;
  const unpacker = await store.host.startUnpacker(staging.tree, shared, signal);
  try {
    const places = caLinks.etc.map(([path]) => `etc/${path}`);
    const unpacked = new ByteLimit(maxBytes);
    const tree = new RootTree(unpacker, notedFiles(caLinks), places, unpacked);
    let flattenedOwners = 0;
    if ('archive' in source) {
      await tree.add(openArchive(source.archive, unpacked, signal));
    } else if ('stored' in source) {
      for (const layer of source.stored) {
        if (signal.aborted) throw signal.reason;
        await tree.addStored(layer);
        flattenedOwners += layer.header.flattenedOwners;
      }
    } else {
      for (const { path, diffId } of source.layers) {
        await tree.addLayer(() => checked(openArchive(path, unpacked, signal), diffId));
      }
    }
    if (tree.machines.size > 0 && !tree.machines.has(arch)) {
      throw wrongArchitecture(`linux/${[...tree.machines].join(', linux/')}`, arch);
    }
    await writeEtc(unpacker, tree, store.host.hasIds);
    await linkCaStores(unpacker, tree, caLinks);
    const certificates = caCertificates(tree, caLinks);
    if (certificates !== '') await writeFile(staging.caCertificates, certificates, { mode: 0o600 });
    await tree.finish();
    flattenedOwners += await unpacker.finish();
    return {
      kind: 'rootfs',
      version: null,
      digest: null,
      references: [],
      layers: [],
      sizeBytes: unpacker.sizeBytes,
      env: environmentOf('env' in source ? source.env : []),
      shell: shellOf(tree),
      ...(await survey(staging.tree)),
      flattenedOwners,
      skipped: tree.skipped,
      skippedCount: tree.skippedCount,
    };
  } finally {
    await unpacker.close();
  }
}

/** Passes the bytes of a layer through and verifies them against the digest in the image's configuration. */
export async function* checked(
  source: AsyncIterable<Uint8Array>,
  diffId: string | null,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
  const digest = `sha256:${hash.digest('hex')}`;
  if (diffId !== null && digest !== diffId) {
    throw new SandboxError('invalid_argument', `A layer has the digest ${digest} instead of ${diffId}.`, {
      hint: 'The archive is damaged or was modified: create it again.',
    });
  }
}

/** The top level of the finished tree. Follows no links, and skips what every sandbox has of its own. */
async function survey(tree: string): Promise<Pick<MadeImage, 'directories' | 'links'>> {
  const directories: MadeImage['directories'] = {};
  const links: MadeImage['links'] = [];
  for (const name of (await readdir(tree)).sort()) {
    if (NOT_FROM_IMAGES.includes(name) || !PLAIN_NAME.test(name)) continue;
    const { mode, uid, gid, ...info } = await lstat(join(tree, name)).then((found) => ({
      mode: found.mode & 0o7777,
      uid: found.uid,
      gid: found.gid,
      isLink: found.isSymbolicLink(),
      isDirectory: found.isDirectory(),
    }));
    if (info.isLink) links.push({ name, target: await readlink(join(tree, name)) });
    else if (info.isDirectory) directories[name] = { mode, uid, gid };
  }
  const count = Object.keys(directories).length;
  if (count <= MAX_TOP_DIRECTORIES && Object.keys(directories).some((name) => name !== 'etc')) {
    return { directories, links };
  }
  throw new SandboxError(
    'invalid_argument',
    `The archive has ${count} top-level directories, including /etc.`,
    {
      hint: `A root file system has top-level directories such as /usr or /bin, and at most ${MAX_TOP_DIRECTORIES} of them.`,
    },
  );
}

/** Imports an archive as an image. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import { ByteLimit } from './byte-limit.ts';
import { decompressed } from './decompress.ts';
import { shellOf, writeEtc } from './etc-files.ts';
import { readImageArchive, wrongArchitecture } from './image-archive.ts';
import type { ImageRecord, MadeImage } from './image-record.ts';
import type { ImageStore, Staging } from './image-store.ts';
import { RootTree, removalsOf } from './root-tree.ts';

/** Every sandbox has its own instances of these. */
const NOT_FROM_IMAGES = ['dev', 'proc', 'run', 'sys', 'tmp', '.agent'];
/** Directory names that are safe in mount options. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/;
const MAX_TOP_DIRECTORIES = 64;
/** Variables that depend on the user who runs a command. */
const NOT_ENV = ['HOME', 'USER', 'LOGNAME', 'SHELL', 'PWD', 'HOSTNAME', 'TERM'];
const MAX_ENV_BYTES = 65_536;
const MEBIBYTE = 1_048_576;

export interface ImportRequest {
  name: string;
  /** Path of the archive on the host. */
  archive: string;
  /** Limit of the unpacked size in bytes. */
  maxBytes: number;
}

async function requireFile(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    throw new SandboxError('not_found', `The archive ${JSON.stringify(path)} cannot be read (${code}).`, {
      hint: 'Use the path of a tar archive on this machine, plain or compressed with gzip or zstd.',
      cause: error,
    });
  }
  throw new SandboxError('invalid_argument', `${JSON.stringify(path)} is not a file.`, {
    hint: 'Use a tar archive; to pack a directory, run `tar -c --numeric-owner -C DIR .`.',
  });
}

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

/** Imports an archive as a new image. Leaves nothing behind on failure or abort. */
export async function importImage(
  store: ImageStore,
  request: ImportRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  await requireFile(request.archive);
  return store.make(request.name, (staging) => build(store, staging, request, signal), signal);
}

async function build(
  store: ImageStore,
  staging: Staging,
  request: ImportRequest,
  signal: AbortSignal,
): Promise<MadeImage> {
  const { arch } = store.host;
  const limit = new ByteLimit(request.maxBytes);
  const open = (path: string, counted: ByteLimit) =>
    decompressed(createReadStream(path, { highWaterMark: MEBIBYTE, signal }), counted);
  const parts = await readImageArchive(open(request.archive, limit), staging.scratch, arch);
  if (parts !== null && parts.arch !== null && parts.arch !== arch) {
    throw wrongArchitecture(`linux/${parts.arch}`, arch);
  }
  const unpacker = await store.host.startUnpacker(staging.tree, signal);
  try {
    const tree = new RootTree(unpacker);
    // Unpacking the stored parts has a limit of its own, separate from the one on storing them.
    const unpacked = new ByteLimit(request.maxBytes);
    if (parts === null) await tree.add(open(request.archive, unpacked), { whiteouts: false });
    for (const { path, diffId } of parts?.layers ?? []) {
      const removals = await removalsOf(checked(open(path, new ByteLimit(request.maxBytes)), diffId));
      await tree.remove(removals);
      await tree.add(open(path, unpacked), { whiteouts: true });
    }
    if (tree.machines.size > 0 && !tree.machines.has(arch)) {
      throw wrongArchitecture(`linux/${[...tree.machines].join(', linux/')}`, arch);
    }
    await writeEtc(unpacker, tree, store.host.hasIds);
    const flattenedOwners = await unpacker.finish();
    return {
      kind: 'rootfs',
      version: null,
      sizeBytes: unpacker.sizeBytes,
      env: environmentOf(parts?.env ?? []),
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

/** Passes the bytes through and verifies them against the digest in the image's configuration. */
async function* checked(source: AsyncIterable<Buffer>, diffId: string | null): AsyncGenerator<Buffer> {
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

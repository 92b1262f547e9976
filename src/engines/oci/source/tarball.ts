/**
 * A tarball as the source of a sandbox: downloaded and unpacked inside, validated before any of it is placed.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { SandboxError } from '../../../shared/errors.ts';
import { SANDBOX_CWD } from '../../../shared/fs/sandbox-path.ts';
import { tarEntries } from '../../../shared/fs/tar-entries.ts';
import { formatCount } from '../../../shared/text/text.ts';
import type { SandboxSource, TreeEntry } from '../../engine.ts';
import { download } from './download.ts';
import { type GuestContext, runInGuest } from './guest-program.ts';
import { TarballContents } from './tarball-contents.ts';
import { unpack } from './unpack.ts';

export type TarballSource = Extract<SandboxSource, { type: 'tarball' }>;

/** On the sandbox's own disk, where it cannot collide with the source's files. */
const SCRATCH = '/home/vercel-sandbox';
const SHOWN_EVERY = 500;

/** Downloads a tarball and places its content in the working directory, completely or not at all. */
export async function fetchTarball(
  inside: GuestContext,
  { url }: TarballSource,
  signal: AbortSignal,
): Promise<void> {
  const scratch = `${SCRATCH}/.source-${randomBytes(6).toString('hex')}`;
  await inside.files.mkDir(inside.sandboxId, scratch, null, signal);
  const packed = `${scratch}/packed`;
  await download(inside, url, packed, signal);
  const tar = await unpack(inside, url, packed, `${scratch}/tar`, signal);
  inside.report?.('Checking the tarball');
  const contents = new TarballContents(url, inside.limits);
  for await (const entry of tarEntries(await open(inside, tar, signal), notATar(url))) {
    contents.add(entry);
    entry.resume();
  }
  await place(inside, tar, contents, signal);
  await runInGuest(inside, { cmd: 'rm', args: ['-rf', '--', scratch] }, signal);
}

async function place(
  inside: GuestContext,
  tar: string,
  contents: TarballContents,
  signal: AbortSignal,
): Promise<void> {
  const layout = await contents.layout();
  const content = await open(inside, tar, signal);
  async function* entries(): AsyncGenerator<TreeEntry> {
    yield { path: '', type: 'directory', mode: 0o755, linkTarget: null, content: null };
    let placed = 0;
    for await (const entry of tarEntries(content, notATar(contents.url))) {
      const placing = layout.treeEntry(entry);
      if (placing === null) {
        entry.resume();
        continue;
      }
      if (placing.content === null) entry.resume();
      placed += 1;
      if (placed % SHOWN_EVERY === 0) inside.report?.(`Writing files: ${formatCount(placed)}`);
      yield placing;
    }
  }
  await inside.files.writeTree(inside.sandboxId, SANDBOX_CWD, null, entries(), signal);
}

/** The bytes of a file in the sandbox, read on demand. */
async function open(inside: GuestContext, path: string, signal: AbortSignal): Promise<Readable> {
  const tree = inside.files.readTree(inside.sandboxId, path, null, signal)[Symbol.asyncIterator]();
  const first = await tree.next();
  const found = first.done === true ? null : first.value.content;
  if (found === null) throw new SandboxError('server', 'The fetched tarball cannot be read.');
  const content = Buffer.isBuffer(found) ? Readable.from([found]) : found;
  // Release the connection only once the content is closed.
  content.once('close', () => void tree.return?.(undefined).catch(() => undefined));
  return content;
}

function notATar(url: string): (reason: string, cause: unknown) => SandboxError {
  return (reason, cause) =>
    new SandboxError('invalid_argument', `The tarball ${url} cannot be used: ${reason.slice(0, 200)}.`, {
      hint: 'Use the URL of a complete tar archive, plain or compressed with gzip, xz or zstd.',
      details: { url },
      cause,
    });
}

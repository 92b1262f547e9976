/** Decompresses a downloaded file to a plain tar archive, inside the sandbox. */
import { SandboxError } from '../../../shared/errors.ts';
import { boundedWriter, noSpace } from './bounded-writer.ts';
import { type GuestContext, isMissing, missingProgram, runInGuest } from './guest-program.ts';

const BLOCK = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

/** Decompression programs by the first bytes of their format. */
const PACKERS = [
  { program: 'gzip', magic: Buffer.from([0x1f, 0x8b]) },
  { program: 'xz', magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) },
  { program: 'zstd', magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
] as const;

type Packing = (typeof PACKERS)[number]['program'] | 'tar' | null;

/** Returns the path of the plain archive: `packed` itself, or `target`. */
export async function unpack(
  inside: GuestContext,
  url: string,
  packed: string,
  target: string,
  signal: AbortSignal,
): Promise<string> {
  const packing = packingOf(await firstBlock(inside, packed, signal));
  if (packing === 'tar') return packed;
  if (packing === null) throw noTarball(url, await firstBlock(inside, packed, signal));
  inside.report?.(`Unpacking (${packing})`);
  const { maxUnpackedBytes } = inside.limits;
  const outcome = await runInGuest(
    inside,
    boundedWriter(maxUnpackedBytes, target, packing, '-dc', packed),
    signal,
  );
  if (isMissing(outcome)) throw missingProgram(packing, 'serve a tarball compressed with gzip');
  const written = (await inside.files.stat(inside.sandboxId, target, null, signal))?.sizeBytes ?? 0;
  if (outcome.exitCode !== 0 && written >= maxUnpackedBytes) {
    throw new SandboxError('limit_exceeded', `${url} contains more than ${maxUnpackedBytes} bytes.`, {
      hint: 'Use a smaller tarball, or upload the files with sandbox_upload_file.',
      details: { url, max_bytes: maxUnpackedBytes },
    });
  }
  if (outcome.exitCode !== 0) {
    if (outcome.endedBy === 'timeout') throw slow(url, inside.limits.limitMs);
    throw noSpace(url, outcome) ?? damaged(url, packing, outcome.stderrLines);
  }
  const block = await firstBlock(inside, target, signal);
  if (packingOf(block) !== 'tar') throw noTarball(url, block);
  return target;
}

async function firstBlock(inside: GuestContext, path: string, signal: AbortSignal): Promise<Buffer> {
  const read = await inside.files.read(inside.sandboxId, path, null, { offset: 0, limit: BLOCK }, signal);
  return read?.data ?? Buffer.alloc(0);
}

/** Detected from the content: names and media types are unreliable. */
export function packingOf(block: Buffer): Packing {
  const packer = PACKERS.find(({ magic }) => block.subarray(0, magic.length).equals(magic));
  if (packer !== undefined) return packer.program;
  return isTarHeader(block) ? 'tar' : null;
}

/** Recognizes a tar header by its checksum, which is computed with its own field as blanks. */
function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  const stated = Number.parseInt(block.toString('latin1', CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES), 8);
  let sum = CHECKSUM_BYTES * ' '.charCodeAt(0);
  for (const [at, byte] of block.entries()) {
    if (at < CHECKSUM_AT || at >= CHECKSUM_AT + CHECKSUM_BYTES) sum += byte;
  }
  return sum === stated;
}

function noTarball(url: string, block: Buffer): SandboxError {
  const page = /^\s*<(!doctype|html)/i.test(block.toString('latin1')) ? ' (it is a web page)' : '';
  return new SandboxError('invalid_argument', `${url} is not a tarball${page}.`, {
    hint: 'Use the URL of the tar archive itself, plain or compressed with gzip, xz or zstd.',
    details: { url },
  });
}

function damaged(url: string, packing: string, said: string): SandboxError {
  return new SandboxError('invalid_argument', `${url} is damaged. ${packing} said:\n${said}`, {
    hint: 'Use the URL of a complete tarball.',
    details: { url },
  });
}

function slow(url: string, limitMs: number): SandboxError {
  return new SandboxError('timeout', `Unpacking ${url} took longer than ${limitMs} ms.`, {
    hint: 'Use a smaller tarball.',
    details: { url },
  });
}

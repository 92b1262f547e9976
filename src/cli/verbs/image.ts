/**
 * The verbs for images: root file systems imported by the operator, which sandboxes select as their
 * `runtime`.
 */
import { resolve } from 'node:path';
import { ConfigError } from '../../config/setting.ts';
import type { Image, Images } from '../../engines/engine.ts';
import { formatDuration } from '../../shared/duration.ts';
import { alignColumns } from '../output/table.ts';
import type { Terminal } from '../output/terminal.ts';
import { formatBytes, untilInterrupted, withOwnHints } from './group-verb.ts';
import { openProgressDisplay } from './pull-progress.ts';

const MEGABYTE = 1_024 ** 2;
const UNITS: Record<string, number> = { '': 1, k: 1_024, m: MEGABYTE, g: 1_024 ** 3, t: 1_024 ** 4 };
const MIN_BYTES = 1_024;
/** Far larger than usual root file systems, but small enough not to fill a disk unexpectedly. */
export const DEFAULT_MAX_SIZE = '16g';

/** The bytes of a text such as `800m` or `16g`. @throws ConfigError */
export function bytesOf(value: string): number {
  const match = /^(\d{1,15})([kmgt]?)$/.exec(value.trim().toLowerCase());
  const bytes = Number(match?.[1] ?? 0) * (UNITS[match?.[2] ?? ''] ?? 1);
  if (match !== null && bytes >= MIN_BYTES && Number.isSafeInteger(bytes)) return bytes;
  throw new ConfigError(
    { origin: '--max-size', value },
    `is not a size; use bytes, or a number with k, m, g or t, of at least ${MIN_BYTES} bytes.`,
  );
}

/** Imports an archive. A relative path starts at the working directory. */
export function importImage(
  images: Images,
  request: { name: string; archive: string; image: string | undefined; maxSize: string },
  terminal: Terminal,
): Promise<number> {
  const { name, archive, image: wanted, maxSize } = request;
  const maxBytes = bytesOf(maxSize);
  return withOwnHints(async () => {
    const image = await untilInterrupted((signal) =>
      images.import({ name, archive: resolve(archive), image: wanted, maxBytes }, signal),
    );
    showImported(image, terminal);
    return 0;
  });
}

function showImported(image: Image, terminal: Terminal): void {
  terminal.out(`${image.name}  ${formatBytes(image.sizeBytes)}  linux/${image.arch}\n`);
  for (const note of image.notes) terminal.err(`sandbox-mcp: ${note}\n`);
}

/** Builds the image of a folder and imports it. A relative path starts at the working directory. */
export function buildImage(
  images: Images,
  request: { directory: string; name: string; maxSize: string; searchPath: readonly string[] },
  terminal: Terminal,
): Promise<number> {
  const { name, maxSize, searchPath } = request;
  const maxBytes = bytesOf(maxSize);
  return withOwnHints(async () => {
    const [{ planBuild }, { withBuiltArchive }] = await Promise.all([
      import('../image-build/build-plan.ts'),
      import('../image-build/built-archive.ts'),
    ]);
    const plan = await planBuild(resolve(request.directory));
    if (plan.ignored.length > 0)
      terminal.err(
        `sandbox-mcp: devcontainer.json: ${plan.ignored.join(', ')} have no effect on an image.\n`,
      );
    const image = await untilInterrupted((signal) =>
      withBuiltArchive(plan, searchPath, signal, (archive) =>
        images.import({ name, archive, maxBytes }, signal),
      ),
    );
    showImported(image, terminal);
    return 0;
  });
}

/** Pulls an image from its registry, even if an older image of that name is installed. */
export function pullImage(
  images: Images,
  request: { reference: string; maxSize: string },
  terminal: Terminal,
): Promise<number> {
  const { reference, maxSize } = request;
  const maxBytes = bytesOf(maxSize);
  return withOwnHints(async () => {
    const display = openProgressDisplay(terminal, () => performance.now());
    try {
      const image = await untilInterrupted((signal) =>
        images.pull({ reference, maxBytes }, signal, (state) => display.show(state)),
      );
      display.close();
      terminal.out(`${reference}  ${image.digest}  ${formatBytes(image.sizeBytes)}  linux/${image.arch}\n`);
      for (const note of image.notes) terminal.err(`sandbox-mcp: ${note}\n`);
      return 0;
    } finally {
      display.close();
    }
  });
}

/** Removes the pulled images that no live sandbox and no snapshot uses. */
export function pruneImages(images: Images, terminal: Terminal): Promise<number> {
  return withOwnHints(async () => {
    const removed = await untilInterrupted((signal) => images.prune(signal));
    for (const image of removed)
      terminal.out(`removed  ${titleOf(image)}  ${formatBytes(image.sizeBytes)}\n`);
    if (removed.length === 0) terminal.out('No unused images.\n');
    return 0;
  });
}

/** Prints all images by name. Times are relative to `now` (epoch milliseconds). */
export function listImages(
  images: Images,
  options: { json: boolean },
  now: number,
  terminal: Terminal,
): Promise<number> {
  return withOwnHints(async () => {
    const found = await images.list(new AbortController().signal);
    if (options.json) terminal.out(`${JSON.stringify(found, null, 2)}\n`);
    else if (found.length === 0) terminal.out('No images.\n');
    else {
      const head = ['IMAGE', 'KIND', 'SIZE', 'AGE', 'ARCH', 'IN USE BY'];
      terminal.out(alignColumns([head, ...found.map((image) => row(image, now))]));
    }
    return 0;
  });
}

/** Removes an image that no live sandbox and no snapshot uses. */
export function removeImage(images: Images, name: string, terminal: Terminal): Promise<number> {
  return withOwnHints(async () => {
    await images.remove(name, new AbortController().signal);
    terminal.out(`removed  ${name}\n`);
    return 0;
  });
}

/** The name shown to people. */
function titleOf({ name, references }: Image): string {
  return references.length === 0 ? name : references.join(',');
}

function row(image: Image, now: number): string[] {
  return [
    titleOf(image),
    image.version === null ? image.kind : `${image.kind} ${image.version}`,
    formatBytes(image.sizeBytes),
    formatDuration(now - image.createdAt),
    image.arch,
    image.usedBy.join(',') || '-',
  ];
}

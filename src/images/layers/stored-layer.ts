/**
 * A layer in the store: a header, the list of its entries, and its files. Directories, links and deletions depend on
 * the layers below, so only the list has them; each tree of an image applies it and links the files.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { diskFullError } from '../../shared/fs/disk-full.ts';
import { ByteLimit } from '../byte-limit.ts';
import { decompressed } from '../decompress.ts';
import type { TarEntry } from '../tar/tar-reader.ts';
import type { AppliedWhiteout } from '../whiteouts.ts';
import type { ContentNotes } from './content-notes.ts';

const FORMAT = 1;
const LINE_FEED = 10;
/** Lines are compressed together: handing one over costs more than compressing it. */
const BATCH_LENGTH = 65_536;
const HEADER = 'layer.json';
const ENTRIES = 'entries.gz';
export const FILES = 'files';
/** Far more than a list has: names are limited when it is written. */
const MAX_LIST_BYTES = 4_294_967_296;

const headerSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** The id mapping that its files were written with. */
  ids: z.string(),
  /** The files whose text the list contains. */
  noted: z.array(z.string()),
  /** Of the unpacked archive, with the holes of its sparse files. */
  bytes: z.number(),
  flattenedOwners: z.number(),
  /** Of the list, whiteouts included. */
  entries: z.number(),
  whiteouts: z.number(),
});
export type LayerHeader = Omit<z.output<typeof headerSchema>, 'format'>;

const entrySchema = z.strictObject({
  kind: z.enum(['file', 'directory', 'symlink', 'hardlink', 'device']),
  // One character per byte, like the entries of an archive.
  path: z.string(),
  link: z.string(),
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  mtime: z.number(),
  size: z.number(),
  /** The name of its content; null for all but files. */
  file: z.string().nullable(),
  /** In base64. */
  text: z.string().nullable(),
  machine: z.string().nullable(),
});

/** A layer may have more whiteouts than fit in memory, and an image hundreds of layers: they are in the list too. */
const lineSchema = z.discriminatedUnion('kind', [
  entrySchema,
  z.strictObject({ kind: z.enum(['remove', 'clear']), path: z.string() }),
]);

/** An entry whose content is in the store. */
export type StoredEntry = Omit<TarEntry, 'content'> & ContentNotes & { file: string | null };

export interface StoredLayer {
  readonly header: LayerHeader;
  /** Its directory's name in the store. */
  readonly name: string;
  /** What it removes of the layers below. */
  whiteouts(): AsyncGenerator<AppliedWhiteout>;
  entries(): AsyncGenerator<StoredEntry>;
}

export function openLayer(directory: string, header: LayerHeader): StoredLayer {
  return {
    header,
    name: basename(directory),
    async *whiteouts() {
      if (header.whiteouts === 0) return;
      for await (const line of readList(directory, header)) if (!('mode' in line)) yield line;
    },
    async *entries() {
      for await (const line of readList(directory, header)) if ('mode' in line) yield line;
    },
  };
}

export function writeHeader(directory: string, header: LayerHeader): Promise<void> {
  return writeFileAtomic(
    join(directory, HEADER),
    `${JSON.stringify({ format: FORMAT, ...header })}\n`,
    0o600,
  );
}

/** Null if there is none, or one of another version. */
export async function readHeader(directory: string): Promise<LayerHeader | null> {
  try {
    const { format: _, ...header } = headerSchema.parse(
      JSON.parse(await readFile(join(directory, HEADER), 'utf8')),
    );
    return header;
  } catch (error) {
    const isMissing = ['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '');
    if (isMissing || error instanceof SyntaxError || error instanceof z.ZodError) return null;
    throw error;
  }
}

/** Writes the list of a layer, in order. */
export class EntryList {
  /** Lines so far. */
  count = 0;
  #batch = '';
  readonly #gzip = createGzip({ level: 1 });
  readonly #written: Promise<void>;
  /** Set while an entry waits. One listener serves all: a promise that lives long would keep each that is raced. */
  #wake = (): void => {};

  constructor(directory: string) {
    const file = createWriteStream(join(directory, ENTRIES), { flags: 'wx', mode: 0o600 });
    for (const event of ['drain', 'close']) this.#gzip.on(event, () => this.#wake());
    this.#written = pipeline(this.#gzip, file);
    this.#written.catch(() => {});
  }

  add({ text, ...entry }: StoredEntry): Promise<void> {
    return this.#write({ ...entry, text: text === null ? null : Buffer.from(text).toString('base64') });
  }

  addWhiteout({ kind, path }: AppliedWhiteout): Promise<void> {
    return this.#write({ kind, path });
  }

  async #write(line: z.input<typeof lineSchema>): Promise<void> {
    this.count += 1;
    this.#batch += `${JSON.stringify(line)}\n`;
    if (this.#batch.length < BATCH_LENGTH) return;
    const batch = this.#batch;
    this.#batch = '';
    if (this.#gzip.write(batch)) return;
    if (!this.#gzip.destroyed) await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#gzip.destroyed) await this.#written;
  }

  async close(): Promise<void> {
    this.#gzip.end(this.#batch);
    try {
      await this.#written;
    } catch (error) {
      throw diskFullError(error);
    }
  }
}

/** @throws `server` if the list is damaged */
async function* readList(
  directory: string,
  { entries }: LayerHeader,
): AsyncGenerator<AppliedWhiteout | StoredEntry> {
  const source = decompressed(createReadStream(join(directory, ENTRIES)), new ByteLimit(MAX_LIST_BYTES));
  let count = 0;
  try {
    for await (const line of linesOf(source)) {
      count += 1;
      const parsed = lineSchema.parse(JSON.parse(line));
      if (!('mode' in parsed)) yield parsed;
      else {
        const { text, ...entry } = parsed;
        yield { ...entry, text: text === null ? null : Buffer.from(text, 'base64').toString('utf8') };
      }
    }
    if (count !== entries) throw new Error(`${count} entries instead of ${entries}`);
  } catch (error) {
    throw new SandboxError('server', `The stored layer ${directory} is damaged.`, {
      hint: 'Remove the images that share it with `sandbox-mcp image remove`, then pull them again.',
      cause: error,
    });
  }
}

async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      yield Buffer.concat([...begun, bytes.subarray(start, end)]).toString('utf8');
      begun = [];
      start = end + 1;
    }
    begun.push(bytes.subarray(start));
  }
}

/** Unpacks a layer for the store. */
import type { ByteLimit } from '../byte-limit.ts';
import { noteContent } from '../layers/content-notes.ts';
import { isIgnored, type NamesLimit } from '../layers/entry-rules.ts';
import { EntryList, type StoredEntry, writeHeader } from '../layers/stored-layer.ts';
import { readTar, type TarEntry } from '../tar/tar-reader.ts';
import { isUsablePath, type Unpacker } from '../unpacker.ts';
import { whiteoutOf } from '../whiteouts.ts';

export interface LayerSource {
  archive(): AsyncIterable<Uint8Array>;
  /** Of the unpacked size: also gets the holes of sparse files. */
  limit: ByteLimit;
  /** Of all layers of the image. */
  names: NamesLimit;
  /** The files whose text is collected. */
  noted: readonly string[];
  ids: string;
}

/**
 * Writes a layer into `directory`; the unpacker's root is the directory of its files. The header, which makes it
 * complete, comes last.
 */
export async function storeLayer(
  directory: string,
  unpacker: Unpacker,
  { archive, limit, names, noted, ids }: LayerSource,
): Promise<void> {
  const list = new EntryList(directory);
  const wanted = new Set(noted);
  let bytes = 0;
  let files = 0;
  let whiteouts = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of archive()) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  async function stored(entry: TarEntry): Promise<StoredEntry> {
    const { content: _, ...rest } = entry;
    const { kind, path, size, mode, uid, gid, mtime } = entry;
    if (kind !== 'file' || isIgnored(path) || !isUsablePath(path))
      return { ...rest, file: null, text: null, machine: null };
    const { content, notes } = noteContent(entry, wanted);
    const file = String(files);
    files += 1;
    await unpacker.step({ kind, path: file, size, mode, uid, gid, mtime }, content);
    return { ...rest, file, ...notes };
  }
  try {
    const visit = async (entry: TarEntry) => {
      // With the target of a link, which the list contains too.
      names.add(entry.path + entry.link);
      const whiteout = whiteoutOf(entry.path);
      if (whiteout === null) await list.add(await stored(entry));
      else if (whiteout.kind !== 'none') {
        whiteouts += 1;
        await list.addWhiteout(whiteout);
      }
    };
    await readTar(counted(), visit, (holes) => {
      limit.add(holes);
      bytes += holes;
    });
  } finally {
    await list.close();
  }
  const flattenedOwners = await unpacker.finish();
  const entries = list.count;
  await writeHeader(directory, { ids, noted: [...noted], bytes, flattenedOwners, entries, whiteouts });
}

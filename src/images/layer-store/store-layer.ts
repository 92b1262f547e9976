/** Unpacks a layer for the store. */
import { readTar, type TarEntry } from '../image-tar-reader.ts';
import { noteContent } from '../layers/content-notes.ts';
import { isIgnored, NamesLimit } from '../layers/entry-rules.ts';
import { EntryList, type StoredEntry, writeHeader } from '../layers/stored-layer.ts';
import { isUsablePath, type Unpacker } from '../unpacker.ts';
import { WhiteoutList, whiteoutOf } from '../whiteouts.ts';

export interface LayerSource {
  archive(): AsyncIterable<Uint8Array>;
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
  { archive, noted, ids }: LayerSource,
): Promise<void> {
  const list = new EntryList(directory);
  const names = new NamesLimit();
  const whiteouts = new WhiteoutList();
  const wanted = new Set(noted);
  let bytes = 0;
  let files = 0;
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
    await readTar(counted(), async (entry) => {
      names.add(entry.path);
      const whiteout = whiteoutOf(entry.path);
      if (whiteout === null) await list.add(await stored(entry));
      else whiteouts.add(whiteout);
    });
  } finally {
    await list.close();
  }
  const flattenedOwners = await unpacker.finish();
  const { removed, cleared } = whiteouts;
  await writeHeader(directory, {
    ids,
    noted: [...noted],
    bytes,
    flattenedOwners,
    entries: list.count,
    removed,
    cleared,
  });
}

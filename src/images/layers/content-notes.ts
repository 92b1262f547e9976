/** What the record of an image needs to know about the content of its files, found as they are read. */
import { machineOf } from '../architecture.ts';
import type { TarEntry } from '../tar/tar-reader.ts';

/** The account files in `/etc` whose text is collected. */
const ACCOUNTS = ['etc/passwd', 'etc/group', 'etc/nsswitch.conf'];
const MAX_NOTED_BYTES = 1_048_576;
const PROGRAM = /(^|\/)s?bin\/[^/]+$/;

/** The files whose text is collected. */
export function notedFiles({ bundlePaths }: { bundlePaths: readonly string[] }): string[] {
  return [...ACCOUNTS, ...bundlePaths.map((name) => `etc/${name}`)];
}

export interface ContentNotes {
  /** The content, if it is one of the noted files. */
  text: string | null;
  /** The architecture, if it is a program. */
  machine: string | null;
}

/** Passes the content on; `notes` are complete once it has been read. */
export function noteContent(
  { path, size, content }: TarEntry,
  noted: ReadonlySet<string>,
): { content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>; notes: ContentNotes } {
  const isNoted = noted.has(path) && size <= MAX_NOTED_BYTES;
  const isProgram = PROGRAM.test(path);
  const whole = content.whole();
  if (whole !== null) {
    const text = isNoted ? Buffer.from(whole).toString('utf8') : null;
    return { content: [whole], notes: { text, machine: isProgram ? machineOf(whole) : null } };
  }
  const notes: ContentNotes = { text: null, machine: null };
  async function* read(): AsyncGenerator<Uint8Array> {
    const kept: Uint8Array[] = [];
    let first = isProgram;
    for await (const chunk of content) {
      if (first) notes.machine = machineOf(chunk);
      first = false;
      if (isNoted) kept.push(chunk.slice());
      yield chunk;
    }
    if (isNoted) notes.text = Buffer.concat(kept).toString('utf8');
  }
  return { content: read(), notes };
}

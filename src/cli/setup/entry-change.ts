/** What adding or removing this server changes in a client's settings. */
import { isDeepStrictEqual } from 'node:util';
import { SandboxError } from '../../shared/errors.ts';
import type { Client, ServerCommand } from './clients.ts';
import type { ConfigFormat, Entry } from './config-format.ts';
import { type FileText, readSettings, replaceSettings, splitMark } from './settings-file.ts';

const NAME = 'sandbox';

export interface EntryChange {
  readonly file: string;
  readonly before: FileText;
  /** Equal to `before` if nothing has to be changed. */
  readonly after: FileText;
  /** Where `before` is kept; null if nothing has to be kept. */
  readonly backup: string | null;
}

/** @throws SandboxError that names the file, if it cannot be read or understood */
export async function changeToAdd(client: Client, file: string, server: ServerCommand): Promise<EntryChange> {
  const entry = client.entry(server);
  return plan(client, file, async (before, path) => {
    const current = entryOf(client.format, before, path);
    if (isDeepStrictEqual(current, entry)) return { file, before, after: before, backup: null };
    // A backup from before the entry existed stays; a later `--remove` restores it.
    const original = current === undefined ? undefined : await originalOf(client.format, file, before, path);
    const backup = before === null || original !== undefined ? null : backupOf(file);
    const base = original === undefined ? before : original;
    return { file, before, after: withEntry(client.format, base, path, entry), backup };
  });
}

/** Takes the entry out: back to the bytes from before `changeToAdd` if nothing else has changed since. */
export async function changeToRemove(client: Client, file: string): Promise<EntryChange> {
  return plan(client, file, async (before, path) => {
    const unchanged = { file, before, after: before, backup: null };
    if (before === null || entryOf(client.format, before, path) === undefined) return unchanged;
    const original = await originalOf(client.format, file, before, path);
    if (original !== undefined) return { ...unchanged, after: original };
    const [mark, text] = splitMark(before);
    return { ...unchanged, after: mark + client.format.remove(text, path), backup: backupOf(file) };
  });
}

/** Writes the backup, then the file. @throws SandboxError */
export async function applyChange({ file, before, after, backup }: EntryChange): Promise<void> {
  if (backup !== null) await replaceSettings(backup, await readSettings(backup), before);
  await replaceSettings(file, before, after);
}

function backupOf(file: string): string {
  return `${file}.before-sandbox-mcp`;
}

async function plan(
  client: Client,
  file: string,
  change: (before: FileText, path: readonly string[]) => Promise<EntryChange>,
): Promise<EntryChange> {
  try {
    return await change(await readSettings(file), [...client.servers, NAME]);
  } catch (error) {
    if (!(error instanceof SandboxError) || error.message.includes(file)) throw error;
    throw new SandboxError(error.code, `${file} was left as it is. ${error.message}`, {
      hint: error.hint,
      cause: error,
    });
  }
}

/**
 * The file from before the entry was added: the backup, or no file, whichever becomes the present one by
 * adding the present entry. Undefined if neither does.
 */
async function originalOf(
  format: ConfigFormat,
  file: string,
  present: FileText,
  path: readonly string[],
): Promise<FileText | undefined> {
  const entry = entryOf(format, present, path);
  if (!isEntry(entry)) return undefined;
  for (const candidate of [await readSettings(backupOf(file)), null]) {
    try {
      if (
        entryOf(format, candidate, path) === undefined &&
        withEntry(format, candidate, path, entry) === present
      )
        return candidate;
    } catch (error) {
      // A backup that is damaged is no original.
      if (!(error instanceof SandboxError)) throw error;
    }
  }
  return undefined;
}

function entryOf(format: ConfigFormat, text: FileText, path: readonly string[]): unknown {
  return format.get(splitMark(text ?? '')[1], path);
}

function withEntry(format: ConfigFormat, text: FileText, path: readonly string[], entry: Entry): string {
  const [mark, rest] = splitMark(text ?? '');
  return mark + format.set(rest, path, entry);
}

/** Whatever is in the file was parsed from JSON or TOML; only an object can be an entry. */
function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

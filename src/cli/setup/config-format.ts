/** A JSON or TOML value, as far as an entry for a server needs it. */
export type EntryValue = string | boolean | readonly string[] | { readonly [key: string]: EntryValue };
export type Entry = Readonly<Record<string, EntryValue>>;

/**
 * Edits one kind of settings file, keeping everything else in it: order, comments, spacing. Paths lead to the
 * entry by its keys. Texts have no byte order mark. All throw a `SandboxError` for a text that is damaged or
 * has something else where the entries belong.
 */
export interface ConfigFormat {
  /** The entry as it is in the file, or undefined. */
  get(text: string, path: readonly string[]): unknown;
  /** Adds or replaces the entry. An empty text is a new file. */
  set(text: string, path: readonly string[], entry: Entry): string;
  /** Removes the entry, which must be there. */
  remove(text: string, path: readonly string[]): string;
}

/** Settings in TOML. */
import { isDeepStrictEqual } from 'node:util';
import { parse, patch, stringify } from '@decimalturn/toml-patch';
import { SandboxError } from '../../shared/errors.ts';
import type { ConfigFormat, Entry } from './config-format.ts';

export const tomlFormat: ConfigFormat = {
  get(text, path) {
    const [, container, name] = located(text, path);
    return container?.[name];
  },

  set(text, path, entry) {
    const [root, container, name] = located(text, path);
    if (container?.[name] !== undefined) {
      container[name] = entry;
      return patch(text, root);
    }
    // The editor would put it between the keys of the top level, since it is a key of a table without lines.
    const appended = text + separatorAfter(text) + tableOf(text, path, entry);
    return validOrNull(appended) !== null ? appended : patch(text, withEntry(root, path, entry));
  },

  remove(text, path) {
    const [root, container, name] = located(text, path);
    if (container === undefined) return text;
    delete container[name];
    // The editor would drop the comments above the next table as well.
    const cut = withoutTable(text, path);
    return cut !== null && isDeepStrictEqual(validOrNull(cut), root) ? cut : patch(text, root);
  },
};

type Table = Record<string, unknown>;

/** The whole file, the table that holds the entry if there is one, and the entry's name in it. */
function located(text: string, path: readonly string[]): [Table, Table | undefined, string] {
  const root = parsed(text);
  let table: Table | undefined = root;
  for (const [depth, key] of path.slice(0, -1).entries()) {
    const next: unknown = table?.[key];
    if (next !== undefined && !isTable(next))
      throw new SandboxError(
        'invalid_argument',
        `It has another value where a table is expected: ${path.slice(0, depth + 1).join('.')}.`,
        { hint: 'Correct the file, then run this again.' },
      );
    table = next;
  }
  return [root, table, path.at(-1) ?? ''];
}

function parsed(text: string): Table {
  try {
    const root: unknown = parse(text);
    return isTable(root) ? root : {};
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new SandboxError('invalid_argument', `It is not valid TOML: ${reason}`, {
      hint: 'Correct the file, then run this again.',
      cause: error,
    });
  }
}

function validOrNull(text: string): Table | null {
  try {
    return parsed(text);
  } catch {
    return null;
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function tableOf(text: string, path: readonly string[], entry: Entry): string {
  const body = `[${path.join('.')}]\n${stringify(entry).trimEnd()}\n`;
  return text.includes('\r\n') ? body.replaceAll('\n', '\r\n') : body;
}

/**
 * Cuts the lines of a table and the tables below it, up to the comments of the next one; null if it has no
 * header of its own. The result may be wrong where a line within a value looks like a header.
 */
function withoutTable(text: string, path: readonly string[]): string | null {
  const lines = text.split(/(?<=\n)/);
  const name = path.join('.');
  const start = lines.findIndex((line) => line.startsWith(`[${name}]`));
  if (start === -1) return null;
  const next = lines.findIndex(
    (line, index) => index > start && line.startsWith('[') && !line.startsWith(`[${name}.`),
  );
  let end = next === -1 ? lines.length : next;
  while (next !== -1 && end > start + 1 && /^\s*(#|$)/.test(lines[end - 1] ?? '')) end--;
  return [...lines.slice(0, start), ...lines.slice(end)].join('');
}

/** An empty line between tables. A file whose last line has no end gets one. */
function separatorAfter(text: string): string {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  if (text === '') return '';
  return text.endsWith('\n') ? eol : eol + eol;
}

function withEntry(root: Table, path: readonly string[], entry: Entry): Table {
  const [key = '', ...rest] = path;
  const below = root[key];
  return {
    ...root,
    [key]: rest.length === 0 ? entry : withEntry(isTable(below) ? below : {}, rest, entry),
  };
}

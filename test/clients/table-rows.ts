/** Tables in docs/clients.md whose rows are replaced one by one, as clients are driven. */
import { replaceBetween, table } from '../../scripts/docs/markdown.ts';

/** The first cell tells which row of the table it is. */
export type TableRow = readonly [key: string, ...cells: string[]];

/**
 * The page with these rows in its table `name`, in place of earlier rows of the same keys.
 *
 * @param keys of all rows that the table may have, in order; earlier rows of other keys are dropped
 */
export function withRows(
  page: string,
  name: string,
  head: readonly string[],
  keys: readonly string[],
  rows: readonly TableRow[],
): string {
  const known = new Map([...rowsOf(page, name), ...rows].map((row) => [row[0], row]));
  const kept = keys.map((key) => known.get(key)).filter((row) => row !== undefined);
  return replaceBetween(page, name, table(head, kept));
}

/** The rows of the table between the markers `name`. */
export function rowsOf(page: string, name: string): TableRow[] {
  const begin = page.indexOf(`<!-- ${name}:begin -->`);
  const lines = page.slice(begin, page.indexOf(`<!-- ${name}:end -->`)).split('\n');
  return lines
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => {
      const [key = '', ...cells] = line.slice(2, -2).split(' | ');
      return [key, ...cells];
    });
}

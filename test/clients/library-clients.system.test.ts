/**
 * The job of `npm run clients`, through the clients that are development dependencies. CI runs it through more, in a
 * job of its own.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENDINGS, type Ending } from './endings.ts';
import { LIBRARY_CLIENTS } from './library-clients.ts';
import { libraryTables } from './report.ts';
import { runLibraryClient } from './run-library-client.ts';
import { rowsOf, type TableRow } from './table-rows.ts';

/** Of answers that are much the same on every machine: a short command, and many lines of output. */
const COLUMNS = [2, 3];
const PAGE = readFileSync(join(import.meta.dirname, '../../docs/clients.md'), 'utf8');

/** Client 2 ends as version 1 does, and in `auto` starts two servers. */
const CLIENTS: readonly (readonly [name: string, endings: readonly Ending[]])[] = [
  ['sdk-1.32', ENDINGS],
  ['client-2-auto', ['kill']],
  ['client-2-pinned', ['close']],
];

describe('a program with a client library', () => {
  it.each(CLIENTS)(
    'gets the same answers exactly once, and leaves nothing however it ends: %s',
    async (name, endings) => {
      const client = LIBRARY_CLIENTS.find((each) => each.name === name);
      if (client === undefined) throw new Error(`no client ${name}`);
      const { driver, mode } = client;
      const setup = { folder: import.meta.dirname, driver, node: process.execPath, ...(mode && { mode }) };
      const report = await runLibraryClient(setup, endings);
      expect(report.problems).toEqual([]);
      expect(report.image).toBe('image');
      expect(Object.fromEntries(report.endings)).toEqual(
        Object.fromEntries(endings.map((ending) => [ending, []])),
      );
      const tables = libraryTables([{ ...report, client, http: null }]);
      const [measured] = tables.find((table) => table.name === 'library-tokens')?.rows ?? [];
      expectSameCosts(measured, rowsOf(PAGE, 'library-tokens'));
    },
  );
});

/** As documented, but for the lengths of paths: nobody pays twice, and the table is not out of date. */
function expectSameCosts(measured: TableRow | undefined, documented: readonly TableRow[]): void {
  const row = documented.find(([title]) => title === measured?.[0]);
  if (measured === undefined || row === undefined)
    throw new Error(`not documented: ${String(measured?.[0])}`);
  for (const column of COLUMNS) {
    const ratio = tokensIn(measured[column]) / tokensIn(row[column]);
    expect(ratio, `${measured[column]} instead of ${row[column]}`).toBeGreaterThan(0.6);
    expect(ratio, `${measured[column]} instead of ${row[column]}`).toBeLessThan(1.7);
  }
}

function tokensIn(cell: string | undefined): number {
  return Number(cell?.replaceAll(',', ''));
}

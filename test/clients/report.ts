/** The tables of a run, as Markdown. */
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { table } from '../../scripts/docs/markdown.ts';
import { ENDINGS } from './client-process.ts';
import type { LibraryClient } from './library-clients.ts';
import type { ClientReport } from './run-library-client.ts';

export interface ReportRow {
  client: LibraryClient;
  report: ClientReport;
}

/**
 * The version of each client, whether the job went as expected, and what was left after each way of ending.
 */
export function jobTable(rows: readonly ReportRow[]): string {
  const head = ['client', 'results', 'copies for the model', 'image becomes'];
  const lines = rows.map(({ client, report }) => [
    `${client.title}, \`${client.packages[0]}\``,
    report.problems.length === 0 ? 'as expected' : `${report.problems.length} differ`,
    client.raw === true ? 'the program chooses' : report.problems.some(isCopies) ? 'several' : 'one',
    { image: 'an image', base64: 'base64 text', nothing: 'lost' }[report.image],
    ...ENDINGS.map((ending) => leftText(report.endings.get(ending))),
  ]);
  return table([...head, ...ENDINGS.map((ending) => `left after ${ending}`)], lines);
}

function isCopies(problem: string): boolean {
  return / copies of /.test(problem);
}

function leftText(left: readonly string[] | undefined): string {
  if (left === undefined) return 'not tried';
  return left.length === 0 ? 'nothing' : `${left.length} things`;
}

/** What typical answers cost a model, in tokens (o200k_base), per client. */
export function tokenTable(rows: readonly ReportRow[]): string {
  const names = [...(rows[0]?.report.costs.keys() ?? [])];
  const lines = rows.map(({ client, report }) => [
    client.title,
    ...names.map((name) => tokens(report.costs.get(name) ?? '').toLocaleString('en')),
  ]);
  return table(['client', ...names], lines);
}

export function tokens(text: string): number {
  return encode(text).length;
}

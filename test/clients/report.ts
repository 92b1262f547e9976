/** The results of a run as tables, which are printed and kept in docs/clients.md. */
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { table } from '../../scripts/docs/markdown.ts';
import { AGENTS, type Agent } from './agents/agents.ts';
import { ENDINGS, type Ending } from './endings.ts';
import { COSTS } from './job.ts';
import { LIBRARY_CLIENTS, type LibraryClient } from './library-clients.ts';
import { type TableRow, withRows } from './table-rows.ts';

/** The results of one client. */
export interface Report {
  /** Deviations from the expected results, each with its step. */
  readonly problems: readonly string[];
  /** What the model saw, by column of the table of tokens. */
  readonly costs: ReadonlyMap<string, string>;
  /** Leftovers of each way of ending. */
  readonly endings: ReadonlyMap<Ending, readonly string[]>;
}

export interface LibraryReport extends Report {
  readonly client: LibraryClient;
  readonly image: 'image' | 'base64' | 'nothing';
  /** Over HTTP; null if that was not tried. */
  readonly http: { readonly problems: readonly string[]; readonly left: readonly string[] } | null;
}

export interface AgentReport extends Report {
  readonly agent: Agent;
}

interface ReportTable {
  /** Of its markers. */
  readonly name: string;
  readonly head: readonly string[];
  readonly keys: readonly string[];
  readonly rows: readonly TableRow[];
}

/** An agent closes its clients itself. */
const AGENT_ENDINGS = ['exit', 'kill'] as const;
const leftHead = (endings: readonly Ending[]) => endings.map((ending) => `left after ${ending}`);

export function libraryKey({ title, packages }: LibraryClient): string {
  return `${title}, \`${packages[0]}\``;
}

export function agentKey(agent: Agent): string {
  return `${agent.title}, \`${agent.package}\``;
}

/** The page with the rows of these clients replaced. */
export function updatedPage(page: string, tables: readonly ReportTable[]): string {
  return tables.reduce((text, { name, head, keys, rows }) => withRows(text, name, head, keys, rows), page);
}

export function printed(tables: readonly ReportTable[]): string {
  return tables.map(({ head, rows }) => table(head, rows)).join('\n');
}

export function libraryTables(reports: readonly LibraryReport[]): ReportTable[] {
  const jobs = reports.flatMap((report): TableRow[] => {
    const { client, problems, image } = report;
    if (client.stdio === false) return [];
    const copies = client.raw === true ? 'the program chooses' : copiesText(problems);
    const imageText = { image: 'an image', base64: 'base64 text', nothing: 'lost' }[image];
    return [[libraryKey(client), resultsText(problems), copies, imageText, ...leftTexts(report, ENDINGS)]];
  });
  const httpJobs = reports.flatMap(({ client, http }): TableRow[] =>
    http === null ? [] : [[libraryKey(client), resultsText(http.problems), leftText(http.left)]],
  );
  const tokenRows = reports.map((report) => tokenRow(report.client.title, report));
  return [
    {
      name: 'library-http',
      head: ['client', 'results', 'left after SIGTERM to the server'],
      keys: LIBRARY_CLIENTS.map(libraryKey),
      rows: httpJobs,
    },
    {
      name: 'library-jobs',
      head: ['client', 'results', 'copies for the model', 'image becomes', ...leftHead(ENDINGS)],
      keys: LIBRARY_CLIENTS.map(libraryKey),
      rows: jobs,
    },
    tokenTable('library-tokens', LIBRARY_CLIENTS, tokenRows),
  ];
}

export function agentTables(reports: readonly AgentReport[]): ReportTable[] {
  const jobs = reports.map((report): TableRow => {
    const { agent, problems } = report;
    return [
      agentKey(agent),
      resultsText(problems),
      copiesText(problems),
      ...leftTexts(report, AGENT_ENDINGS),
    ];
  });
  const tokenRows = reports.map((report) => tokenRow(report.agent.title, report));
  return [
    {
      name: 'agent-jobs',
      head: ['agent', 'results', 'copies for the model', ...leftHead(AGENT_ENDINGS)],
      keys: AGENTS.map(agentKey),
      rows: jobs,
    },
    tokenTable('agent-tokens', AGENTS, tokenRows),
  ];
}

function tokenTable(
  name: string,
  clients: readonly { readonly title: string }[],
  rows: readonly TableRow[],
): ReportTable {
  return { name, head: ['client', ...COSTS], keys: clients.map(({ title }) => title), rows };
}

/** Tokens of o200k_base. */
function tokenRow(title: string, { costs }: Report): TableRow {
  return [title, ...COSTS.map((name) => encode(costs.get(name) ?? '').length.toLocaleString('en'))];
}

function resultsText(problems: readonly string[]): string {
  return problems.length === 0 ? 'as expected' : `${problems.length} differ`;
}

function copiesText(problems: readonly string[]): string {
  return problems.some((problem) => / copies of /.test(problem)) ? 'several' : 'one';
}

function leftTexts({ endings }: Report, wanted: readonly Ending[]): string[] {
  return wanted.map((ending) => {
    const left = endings.get(ending);
    return left === undefined ? 'not tried' : leftText(left);
  });
}

function leftText(left: readonly string[]): string {
  return left.length === 0 ? 'nothing' : `${left.length} things`;
}

/**
 * `npm run clients`: installs pinned clients in a temporary folder, runs one job through each without a
 * model, prints what their models see and what each way of ending leaves behind, and updates the tables of
 * docs/clients.md.
 *
 *     npm run clients                    all libraries
 *     npm run clients -- ai-sdk mastra   these alone
 *     npm run clients -- --agents        the agent programs, whose model is a script on the loopback
 *     npm run clients -- --agents --minutes 60   the same, again and again for an hour
 *     npm run clients -- --dir DIR       installs into DIR and leaves it there for the next run
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AGENTS, type Agent } from './agents/agents.ts';
import { runAgent } from './agents/run-agent.ts';
import { ENDINGS } from './endings.ts';
import { copyDrivers, installPackages } from './install.ts';
import { LIBRARY_CLIENTS, type LibraryClient, NEWER_NODE } from './library-clients.ts';
import {
  type AgentReport,
  agentTables,
  type LibraryReport,
  libraryTables,
  printed,
  type Report,
  updatedPage,
} from './report.ts';
import { type ClientSetup, runHttpClient, runLibraryClient } from './run-library-client.ts';

const PAGE = join(import.meta.dirname, '../../docs/clients.md');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: 'string' },
    agents: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '0' },
  },
});

const NAMES = (values.agents ? AGENTS : LIBRARY_CLIENTS).map(({ name }) => name);
const unknown = positionals.filter((name) => !NAMES.includes(name));
if (unknown.length > 0) {
  say(`unknown: ${unknown.join(', ')}; known: ${NAMES.join(', ')}`);
  process.exit(1);
}
const minutes = Number(values.minutes);
if (!(minutes >= 0)) {
  say(`--minutes is a number of minutes, not ${values.minutes}`);
  process.exit(1);
}
const isChosen = ({ name }: { name: string }): boolean =>
  positionals.length === 0 || positionals.includes(name);
const root = values.dir ?? (await mkdtemp(join(tmpdir(), 'clients-')));
try {
  const isGood = values.agents
    ? await repeatAgents(AGENTS.filter(isChosen), root, minutes)
    : await runAll(LIBRARY_CLIENTS.filter(isChosen), root);
  process.exitCode = isGood ? 0 : 1;
} finally {
  if (values.dir === undefined) await rm(root, { recursive: true, force: true });
}

/** Whether every client did as expected. */
async function runAll(clients: readonly LibraryClient[], folder: string): Promise<boolean> {
  const reports: LibraryReport[] = [];
  const isGood = await forEach(clients, async (client) => {
    const report = await runOne(client, folder);
    reports.push(report);
    await save(libraryTables([report]));
    const expected = client.imageBecomes ?? 'image';
    const isImage = report.image === expected;
    const { problems, left } = report.http ?? { problems: [], left: [] };
    return [
      ...problemsOf(report),
      ...(isImage ? [] : [`an image became ${report.image}, not ${expected}`]),
      ...problems.map((problem) => `over HTTP: ${problem}`),
      ...left.map((thing) => `left over HTTP: ${thing}`),
    ];
  });
  say(`\n${printed(libraryTables(reports))}`);
  return isGood;
}

async function runOne(client: LibraryClient, folder: string): Promise<LibraryReport> {
  const installed = await installPackages(folder, client.name, client.packages);
  await copyDrivers(installed);
  const setup: ClientSetup = {
    folder: installed,
    driver: client.driver,
    node: client.needsNewerNode === true ? await newerNode(folder) : process.execPath,
    ...(client.mode && { mode: client.mode }),
    ...(client.refusesNulls && { refusesNulls: true }),
    ...(client.serverArgs && { serverArgs: client.serverArgs }),
  };
  // Closing a client ends no session over HTTP, as killing it does not.
  const runHttp = () => runHttpClient(setup, client.endsByClose ? 'close' : 'kill');
  if (client.stdio === false) {
    const http = await runHttp();
    return { client, ...http, problems: [], endings: new Map(), http };
  }
  return {
    client,
    ...(await runLibraryClient(setup, client.endsByClose ? ['close'] : ENDINGS)),
    http: client.http === false ? null : await runHttp(),
  };
}

/** Runs all of them until so many minutes have passed, once at least; returns whether every run was good. */
async function repeatAgents(agents: readonly Agent[], folder: string, minutes: number): Promise<boolean> {
  const end = performance.now() + minutes * 60_000;
  let rounds = 0;
  let good = 0;
  do {
    rounds += 1;
    if (await runAgents(agents, folder)) good += 1;
    if (minutes > 0) say(`\n${good} of ${rounds} rounds as expected\n`);
  } while (performance.now() < end);
  return good === rounds;
}

/** Whether every agent did as expected. */
async function runAgents(agents: readonly Agent[], folder: string): Promise<boolean> {
  const reports: AgentReport[] = [];
  const node = await newerNode(folder);
  const isGood = await forEach(agents, async (agent) => {
    const installed = await installPackages(folder, agent.name, [agent.package], { scripts: true });
    const report = await runAgent(agent, installed, node);
    reports.push(report);
    await save(agentTables([report]));
    return problemsOf(report);
  });
  say(`\n${printed(agentTables(reports))}`);
  return isGood;
}

async function newerNode(folder: string): Promise<string> {
  const installed = await installPackages(folder, 'node', [NEWER_NODE]);
  return join(installed, `node_modules/node-linux-${process.arch}/bin/node`);
}

/** Says the problems of each client; returns whether there were none. */
async function forEach<Client extends { readonly name: string }>(
  clients: readonly Client[],
  run: (client: Client) => Promise<string[]>,
): Promise<boolean> {
  let isGood = true;
  for (const client of clients) {
    const problems = await run(client).catch((error: unknown) => [String(error)]);
    say(`${client.name}: ${problems.length === 0 ? 'as expected' : problems.join('\n  ')}`);
    isGood &&= problems.length === 0;
  }
  return isGood;
}

function problemsOf({ problems, endings }: Report): string[] {
  const left = [...endings].flatMap(([ending, things]) =>
    things.map((thing) => `left after ${ending}: ${thing}`),
  );
  return [...problems, ...left];
}

/** Puts the rows of these tables into the page. */
async function save(tables: ReturnType<typeof libraryTables>): Promise<void> {
  await writeFile(PAGE, updatedPage(await readFile(PAGE, 'utf8'), tables));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

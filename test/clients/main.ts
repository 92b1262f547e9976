/**
 * `npm run clients`: installs pinned clients in a temporary folder, runs one job through each without a
 * model, and prints what their models see and what each way of ending leaves behind.
 *
 *     npm run clients                    all libraries
 *     npm run clients -- ai-sdk mastra   these alone
 *     npm run clients -- --agents        the agent programs, whose model is a script on the loopback
 *     npm run clients -- --dir DIR       installs into DIR and leaves it there for the next run
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AGENTS, type Agent } from './agents/agents.ts';
import { runAgent } from './agents/run-agent.ts';
import { copyDrivers, installPackages } from './install.ts';
import { AGENT_STEPS } from './job.ts';
import { LIBRARY_CLIENTS, type LibraryClient, NEWER_NODE } from './library-clients.ts';
import { jobTable, type ReportRow, tokenTable } from './report.ts';
import { runLibraryClient } from './run-library-client.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string' }, agents: { type: 'boolean', default: false } },
});

const NAMES = (values.agents ? AGENTS : LIBRARY_CLIENTS).map(({ name }) => name);
const unknown = positionals.filter((name) => !NAMES.includes(name));
if (unknown.length > 0) {
  say(`unknown: ${unknown.join(', ')}; known: ${NAMES.join(', ')}`);
  process.exit(1);
}
const isChosen = ({ name }: { name: string }): boolean =>
  positionals.length === 0 || positionals.includes(name);
const root = values.dir ?? (await mkdtemp(join(tmpdir(), 'clients-')));
try {
  const isGood = values.agents
    ? await runAgents(AGENTS.filter(isChosen), root)
    : await runAll(LIBRARY_CLIENTS.filter(isChosen), root);
  process.exitCode = isGood ? 0 : 1;
} finally {
  if (values.dir === undefined) await rm(root, { recursive: true, force: true });
}

/** Whether every client did as expected. */
async function runAll(clients: readonly LibraryClient[], folder: string): Promise<boolean> {
  const rows: ReportRow[] = [];
  let isGood = true;
  for (const client of clients) {
    const problems: string[] = [];
    try {
      const row = await runOne(client, folder);
      rows.push(row);
      problems.push(...problemsOf(row));
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
    say(`${client.name}: ${problems.length === 0 ? 'as expected' : problems.join('\n  ')}`);
    isGood &&= problems.length === 0;
  }
  if (rows.length > 0) say(`\n${jobTable(rows)}\n\n${tokenTable(rows)}`);
  return isGood;
}

async function runOne(client: LibraryClient, folder: string): Promise<ReportRow> {
  const installed = await installPackages(folder, client.name, client.packages);
  await copyDrivers(installed);
  const node = client.needsNewerNode === true ? await newerNode(folder) : process.execPath;
  const report = await runLibraryClient({
    folder: installed,
    driver: client.driver,
    node,
    ...(client.refusesNulls && { refusesNulls: true }),
    ...(client.serverArgs && { serverArgs: client.serverArgs }),
  });
  return { client, report };
}

/** Whether every agent did as expected. */
async function runAgents(agents: readonly Agent[], folder: string): Promise<boolean> {
  let isGood = true;
  const node = await newerNode(folder);
  for (const agent of agents) {
    const installed = await installPackages(folder, agent.name, [agent.package], { scripts: true });
    const { problems, left } = await runAgent(agent, installed, node);
    const found = [...problems, ...left.map((what) => `left: ${what}`)];
    const calls = `${AGENT_STEPS.length} calls as expected, nothing left`;
    say(`${agent.package}: ${found.length === 0 ? calls : found.join('\n  ')}`);
    isGood &&= found.length === 0;
  }
  return isGood;
}

async function newerNode(folder: string): Promise<string> {
  const installed = await installPackages(folder, 'node', [NEWER_NODE]);
  return join(installed, `node_modules/node-linux-${process.arch}/bin/node`);
}

function problemsOf({ client, report }: ReportRow): string[] {
  const expectedImage = client.imageBecomes ?? 'image';
  return [
    ...report.problems,
    ...(report.image === expectedImage ? [] : [`an image became ${report.image}, not ${expectedImage}`]),
    ...[...report.endings].flatMap(([ending, left]) => left.map((what) => `left after ${ending}: ${what}`)),
  ];
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

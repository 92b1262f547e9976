/**
 * Runs the job through one agent program with a scripted model, once for each way of ending, and looks for
 * leftovers.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sandboxCgroups } from '../../support/leftovers.ts';
import { runVerb } from '../../support/run-verb.ts';
import { SERVER } from '../../support/server.ts';
import { AGENT_STEPS, fill, LAST_CALL, learn, problemsOf } from '../job.ts';
import type { AgentReport } from '../report.ts';
import { ownLeftovers, waitForNoLeftovers } from '../run-library-client.ts';
import type { Agent } from './agents.ts';
import { type ScriptedModel, startScriptedModel } from './scripted-model.ts';

/** A run that takes longer hangs. */
const RUN_LIMIT_MS = 300_000;

const SCRIPT = [
  ...AGENT_STEPS.map((step) => ({ tool: step.tool, given: fill(step.given, new Map(), true) })),
  LAST_CALL,
];

/** `folder` is where the agent's package is installed, `node` the program that runs it. */
export async function runAgent(agent: Agent, folder: string, node: string): Promise<AgentReport> {
  const problems: string[] = [];
  const endings = new Map<'exit' | 'kill', string[]>();
  let costs: ReadonlyMap<string, string> = new Map();
  for (const ending of ['exit', 'kill'] as const) {
    const home = await mkdtemp(join(tmpdir(), 'a-'));
    // Sandbox users work below it.
    await chmod(home, 0o711);
    const cgroupsBefore = new Set(sandboxCgroups());
    const model = await startScriptedModel(SCRIPT, { silentAtEnd: ending === 'kill' });
    try {
      const output = await runOnce({ agent, folder, node, home, model, ending });
      const found = evaluate(model.shown, output);
      problems.push(...found.problems.map((problem) => `${problem} (before ${ending})`));
      if (ending === 'exit') costs = found.costs;
      endings.set(ending, await leftoversOf(home, cgroupsBefore));
    } finally {
      await model.close();
      await rm(home, { recursive: true, force: true, maxRetries: 5 });
    }
  }
  return { agent, problems, costs, endings };
}

/** A server that is killed leaves empty cgroups to its next start, everything else is gone by itself. */
async function leftoversOf(home: string, cgroupsBefore: ReadonlySet<string>): Promise<string[]> {
  const isCgroup = (text: string): boolean => text.startsWith('cgroup ');
  const left = await waitForNoLeftovers(home, cgroupsBefore, (text) => !isCgroup(text));
  const cgroups = ownLeftovers(home, cgroupsBefore).filter(isCgroup);
  if (cgroups.length > 0) await runVerb(['--state-dir', join(home, 's'), 'clean']);
  return [...left, ...cgroups.filter((text) => existsSync(/^cgroup ([^,]+)/.exec(text)?.[1] ?? ''))];
}

function evaluate(
  shown: readonly string[],
  output: string,
): { problems: string[]; costs: Map<string, string> } {
  const known = new Map<string, string>();
  const costs = new Map<string, string>();
  const problems = AGENT_STEPS.slice(0, shown.length).flatMap((step, index) => {
    const text = shown[index] ?? '';
    if (step.name === 'create') learn(text, known);
    if (step.cost !== undefined) costs.set(step.cost, text);
    return problemsOf(step, { text, images: 0 }, known).map((problem) => `${step.name}: ${problem}`);
  });
  const missing = SCRIPT[shown.length];
  if (missing !== undefined) problems.push(`${missing.tool} was never answered; ${output.slice(-500)}`);
  return { problems, costs };
}

interface AgentRun {
  agent: Agent;
  folder: string;
  node: string;
  home: string;
  model: ScriptedModel;
  ending: 'exit' | 'kill';
}

/** Everything that the program prints. */
async function runOnce({ agent, folder, node, home, model, ending }: AgentRun): Promise<string> {
  const server = { command: process.execPath, args: [SERVER, '--state-dir', join(home, 's')] };
  const settings = await agent.prepare({ home, modelUrl: model.url, server });
  const env = { PATH: `${join(node, '..')}:${process.env['PATH']}`, HOME: home, TMPDIR: home, ...settings };
  const child = spawn(join(folder, 'node_modules/.bin', agent.bin), agent.args, {
    cwd: home,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: some of these programs are a script that starts the real one.
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const closed = once(child, 'close');
  const timer = setTimeout(() => killGroup(child), RUN_LIMIT_MS);
  try {
    await (ending === 'kill' ? Promise.race([model.finished, closed]) : closed);
    if (ending === 'kill') killGroup(child);
    await closed;
  } finally {
    clearTimeout(timer);
  }
  return output;
}

function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL');
}

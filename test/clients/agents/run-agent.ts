/** Runs the job through one agent program with a scripted model, and looks for leftovers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sandboxCgroups } from '../../support/leftovers.ts';
import { SERVER } from '../../support/server.ts';
import { AGENT_STEPS, fill, problemsOf } from '../job.ts';
import { waitForNoLeftovers } from '../run-library-client.ts';
import type { Agent } from './agents.ts';
import { startScriptedModel } from './scripted-model.ts';

/** A run that takes longer hangs. */
const RUN_LIMIT_MS = 180_000;

export interface AgentReport {
  readonly problems: string[];
  readonly left: string[];
}

/** `folder` is where the agent's package is installed, `node` the program that runs it. */
export async function runAgent(agent: Agent, folder: string, node: string): Promise<AgentReport> {
  const home = await mkdtemp(join(tmpdir(), 'a-'));
  // Sandbox users work below it.
  await chmod(home, 0o711);
  const cgroupsBefore = new Set(sandboxCgroups());
  const script = AGENT_STEPS.map((step) => ({ tool: step.tool, given: fill(step.given, new Map(), true) }));
  const model = await startScriptedModel(script);
  try {
    const server = { command: process.execPath, args: [SERVER, '--state-dir', join(home, 's')] };
    const settings = await agent.prepare({ home, modelUrl: model.url, server });
    const env = { PATH: `${join(node, '..')}:${process.env['PATH']}`, HOME: home, ...settings };
    const output = await run(join(folder, 'node_modules/.bin', agent.bin), agent.args, home, env);
    const shown = model.shown;
    const problems = AGENT_STEPS.flatMap((step, index) => {
      const text = shown[index];
      if (text === undefined) return [`${step.name}: never answered; ${output.slice(-500)}`];
      return problemsOf(step, { text, images: 0 }).map((problem) => `${step.name}: ${problem}`);
    });
    return { problems, left: await waitForNoLeftovers(home, cgroupsBefore) };
  } finally {
    await model.close();
    await rm(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Everything that the program prints. */
async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_LIMIT_MS);
  try {
    await once(child, 'close');
  } finally {
    clearTimeout(timer);
  }
  return output;
}

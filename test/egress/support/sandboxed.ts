/** A server with one sandbox, and Python in it. */
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { PRELUDE } from './attempts.ts';
import type { World } from './world.ts';

export interface Sandboxed {
  readonly server: RunningServer;
  setPolicy(policy: NetworkPolicy): Promise<void>;
  /** Runs a script to its end and answers what it printed, errors included. */
  python(script: string, more?: { sudo?: boolean; names?: Record<string, string | number> }): Promise<string>;
  /** Runs it under a policy and answers what the world has seen of it. */
  attempt(
    policy: NetworkPolicy,
    script: string,
    names?: Record<string, string | number>,
  ): Promise<{ seen: string[]; printed: string }>;
  close(): Promise<void>;
}

/** Starts a server that asks the world's name server, and a sandbox in it. */
export async function openSandboxed(world: World, args: string[] = []): Promise<Sandboxed> {
  const server = await startServer({ args: ['--egress-dns', world.dns, ...args] });
  const created = await server.call('sandbox_create', { timeout_ms: 600_000, resources: { vcpus: 1 } });
  if (created.isError) throw new Error(created.text);
  const setPolicy = async (policy: NetworkPolicy) => {
    const answer = await server.call('sandbox_update_network_policy', { network_policy: { ...policy } });
    if (answer.isError) throw new Error(answer.text);
  };
  const python: Sandboxed['python'] = async (script, { sudo = false, names = {} } = {}) => {
    const constants = { GOOD: world.good, EVIL: world.evil, INNER: world.inner, META: world.meta, ...names };
    const lines = Object.entries(constants).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    const text = [PRELUDE, ...lines, script].join('\n');
    const answer = await server.call('sandbox_run_command', {
      cmd: 'python3',
      args: ['-c', text],
      sudo,
      timeout_ms: 20_000,
    });
    return `${answer.structured['stdout']}${answer.structured['stderr']}`;
  };
  return {
    server,
    setPolicy,
    python,
    async attempt(policy, script, names) {
      await setPolicy(policy);
      const before = world.seen.length;
      const printed = await python(script, { names: names ?? {} });
      return { seen: world.seen.slice(before), printed };
    },
    close: () => server.close(),
  };
}

/** A server with one sandbox, and Python in it. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { makeOrdinaryUser } from '../../support/ordinary-user.ts';
import { type RunningServer, SERVER, type ServerOptions, startServer } from '../../support/server.ts';
import { PRELUDE } from './attempts.ts';
import { writeHostImage } from './host-image.ts';
import type { World } from './world.ts';

type Names = Record<string, string | number>;

/** The output of a script, and what the test servers have seen of it. */
interface Outcome {
  readonly seen: string[];
  readonly printed: string;
}

/** The name of an image with the programs of this machine. */
const IMAGE = 'of-the-host';
/** Seconds that a blocked script waits for a response that never arrives. */
const BLOCKED_LIMIT = 4;

export interface Sandboxed {
  readonly server: RunningServer;
  setPolicy(policy: NetworkPolicy): Promise<void>;
  /** Runs a script and returns its output, including errors. */
  python(script: string, more?: { sudo?: boolean; names?: Names }): Promise<string>;
  /** Runs a script that the policy should block. */
  attempt(policy: NetworkPolicy, script: string, names?: Names): Promise<Outcome>;
  /** Runs an allowed script until the test servers have logged a matching line, or the script has ended. */
  control(policy: NetworkPolicy, script: string, reached: RegExp, names?: Names): Promise<Outcome>;
  close(): Promise<void>;
}

/**
 * Starts a server that uses the test name server, and a sandbox in it. `EGRESS_RUNTIME=runc` chooses the
 * runtime, `EGRESS_USER=ordinary` the user, and `EGRESS_SOURCE` makes it from a `snapshot` or an `image`.
 */
export async function openSandboxed(world: World, args: string[] = []): Promise<Sandboxed> {
  const user = process.env['EGRESS_USER'] === 'ordinary' ? await makeOrdinaryUser(true) : null;
  const ociRuntime = ['--oci-runtime', process.env['EGRESS_RUNTIME'] ?? 'auto'];
  const source = process.env['EGRESS_SOURCE'];
  const home = user?.tmp ?? (source === 'image' ? await mkdtemp(join(tmpdir(), 'i-')) : null);
  if (home !== null && user === null) await chmod(home, 0o711);
  const stateDir = home === null ? null : join(home, 's');
  const wrap = user === null ? null : (argv: readonly string[]) => user.command(argv);
  if (source === 'image' && home !== null) await importHostImage(home, wrap);
  const server = await startServer({
    args: ['--egress-dns', world.dns, ...ociRuntime, ...args],
    ...(wrap !== null && { wrap }),
    ...(stateDir !== null && { stateDir }),
  });
  const answered = async (tool: string, request: Record<string, unknown>) => {
    const answer = await server.call(tool, request);
    if (answer.isError) throw new Error(answer.text);
    return answer.structured;
  };
  const request = {
    timeout_ms: 600_000,
    resources: { vcpus: 1 },
    ...(source === 'image' && { runtime: IMAGE }),
  };
  await answered('sandbox_create', request);
  if (source === 'snapshot') {
    const { snapshot_id } = await answered('sandbox_snapshot', {});
    await answered('sandbox_create', { ...request, source: { type: 'snapshot', snapshot_id } });
  }
  const setPolicy = async (policy: NetworkPolicy) => {
    await answered('sandbox_update_network_policy', { network_policy: { ...policy } });
  };
  const withPrelude = (script: string, names: Names) => {
    const constants = { GOOD: world.good, EVIL: world.evil, INNER: world.inner, META: world.meta, ...names };
    const lines = Object.entries(constants).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    return { cmd: 'python3', args: ['-c', [PRELUDE, ...lines, script].join('\n')] };
  };
  const python: Sandboxed['python'] = async (script, { sudo = false, names = {} } = {}) => {
    const answer = await server.call('sandbox_run_command', {
      ...withPrelude(script, names),
      sudo,
      timeout_ms: 100_000,
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
      const printed = await python(script, { names: { LIMIT: BLOCKED_LIMIT, ...names } });
      return { seen: world.seen.slice(before), printed };
    },
    async control(policy, script, reached, names) {
      await setPolicy(policy);
      const before = world.seen.length;
      const started = await server.call('sandbox_run_command_detached', withPrelude(script, names ?? {}));
      if (started.isError) throw new Error(started.text);
      const command = { command_id: started.structured['command_id'] };
      let ended = false;
      const end = server.call('command_wait', command).finally(() => {
        ended = true;
      });
      while (!ended && !world.seen.slice(before).some((line) => reached.test(line))) await sleep(20);
      if (!ended) await server.call('command_kill', { ...command, signal: 'SIGKILL' });
      await end;
      const { text } = await server.call('command_output', command);
      return { seen: world.seen.slice(before), printed: text };
    },
    async close() {
      await server.close();
      if (user === null && home !== null) await rm(home, { recursive: true, force: true });
      await user?.remove();
    },
  };
}

/** Into the state directory `s` of a folder, as the user that its server will run as. */
async function importHostImage(home: string, wrap: ServerOptions['wrap'] | null): Promise<void> {
  const archive = join(home, 'image.tar');
  await writeHostImage(archive);
  await chmod(archive, 0o644);
  const verb = ['image', 'import', IMAGE, archive, '--state-dir', join(home, 's')];
  const [command = '', ...args] = wrap?.(['node', 'dist/main.js', ...verb]) ?? [
    process.execPath,
    SERVER,
    ...verb,
  ];
  await promisify(execFile)(command, args);
}

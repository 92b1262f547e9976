/** A sandbox on the host's files, in which programs are installed with apt. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type RunningServer, startServer } from '../../support/server.ts';

/** Why these tests cannot run here, for `needs`. */
export const NEEDED = 'root on Debian, and its package archive';
export const isDebian = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');

const LIFETIME_MS = 7_200_000;
/** Below the limit of a call. */
const WAIT_MS = 50_000;

const commandResult = z.object({
  command_id: z.string(),
  status: z.string(),
  exit_code: z.number().nullable(),
  stdout: z.string(),
  stderr: z.string(),
});

interface Finished {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export interface Machine {
  readonly server: RunningServer;
  /** Runs a shell script to its end. */
  run(script: string, options?: { sudo?: boolean; cwd?: string }): Promise<Finished>;
  /** The output of a script that has to succeed. */
  output(script: string, options?: { sudo?: boolean; cwd?: string }): Promise<string>;
  /** Starts a script in the background. */
  start(script: string, options?: { sudo?: boolean; cwd?: string }): Promise<void>;
  install(...packages: string[]): Promise<void>;
  write(files: Record<string, string>, cwd?: string): Promise<void>;
  /** The URL of a port, from the host. */
  url(port: number): Promise<string>;
  close(): Promise<void>;
}

/** @param policy the sandbox's network policy, which has to let apt work; all of the network by default */
export async function openMachine(policy?: Record<string, unknown>): Promise<Machine> {
  const server = await startServer({ args: ['--disk-mb', '20480'] });
  const call = async (name: string, args: Record<string, unknown>) => {
    const answer = await server.call(name, args);
    if (answer.isError) throw new Error(`${name}: ${answer.text}`);
    return answer.structured;
  };
  const run: Machine['run'] = async (script, options = {}) => {
    const request = { cmd: 'bash', args: ['-c', script], wait_ms: WAIT_MS, ...options };
    let result = commandResult.parse(await call('sandbox_run_command', request));
    while (result.status === 'running') {
      const wait = { command_id: result.command_id, wait_ms: WAIT_MS };
      result = commandResult.parse(await call('command_wait', wait));
    }
    return { exitCode: result.exit_code, stdout: result.stdout, stderr: result.stderr };
  };
  const output: Machine['output'] = async (script, options) => {
    const { exitCode, stdout, stderr } = await run(script, options);
    if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${script}\n${stdout}\n${stderr}`);
    return stdout;
  };
  const machine: Machine = {
    server,
    run,
    output,
    async start(script, options = {}) {
      await call('sandbox_run_command_detached', { cmd: 'bash', args: ['-c', script], ...options });
    },
    async install(...packages) {
      const install =
        'DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends';
      await output(`${install} ${packages.join(' ')}`, { sudo: true });
    },
    async write(files, cwd = '.') {
      const list = Object.entries(files).map(([path, content]) => ({ path: join(cwd, path), content }));
      await call('sandbox_write_files', { files: list });
    },
    async url(port) {
      return String((await call('sandbox_domain', { port }))['url']);
    },
    close: () => server.close(),
  };
  try {
    await call('sandbox_create', {
      timeout_ms: LIFETIME_MS,
      ...(policy !== undefined && { network_policy: policy }),
    });
    await output('apt-get update', { sudo: true });
  } catch (error) {
    await server.close();
    throw error;
  }
  return machine;
}

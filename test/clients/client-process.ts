/** A program with a client library as a child process. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Ending } from './endings.ts';
import type { Mode } from './library-clients.ts';

/** What a model sees of one answer. */
export interface Shown {
  text: string;
  images: number;
  /** Whether the library threw; then the text is the error's message. */
  thrown: boolean;
}

export interface ClientProcess {
  call(name: string, given: Record<string, unknown>): Promise<Shown>;
  /** Ends the program; resolves when it has exited. */
  end(way: Ending): Promise<void>;
}

export type Target =
  | { readonly command: string; readonly args: readonly string[] }
  | { readonly url: string; readonly headers: Readonly<Record<string, string>> };

export interface ClientOptions {
  /** Holds `host.mjs`, `drivers/` and what they import. */
  folder: string;
  driver: string;
  node: string;
  /** The command of the server, or where it is. */
  target: Target;
  mode?: Mode;
  /** The working directory, environment and temporary folder of the program. */
  home: string;
}

interface Reply {
  id: number;
  result?: Shown | null;
  error?: string;
}

/** Starts the program and connects its client to the server. */
export async function startClient(options: ClientOptions): Promise<ClientProcess> {
  const { folder, driver, home, target, mode } = options;
  const args = [join(folder, 'drivers', driver), JSON.stringify({ ...target, mode })];
  const host = fork(join(folder, 'host.mjs'), args, {
    execPath: options.node,
    execArgv: [],
    cwd: home,
    env: { PATH: process.env['PATH'], HOME: home, TMPDIR: home, MASTRA_TELEMETRY_DISABLED: '1' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const ask = asker(host);
  try {
    await ask('connect');
  } catch (error) {
    host.kill('SIGKILL');
    throw error;
  }
  return {
    async call(name, given) {
      const shown = await ask('call', { name, given });
      if (shown === null) throw new Error(`${name} has no answer`);
      return shown;
    },
    async end(way) {
      const exited = once(host, 'exit');
      if (way === 'close') await ask('close');
      if (way === 'kill') host.kill('SIGKILL');
      else host.send({ action: 'exit' });
      await exited;
    },
  };
}

function asker(host: ChildProcess): (action: string, given?: object) => Promise<Shown | null> {
  let errors = '';
  host.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  let last = 0;
  return (action, given) =>
    new Promise((resolve, reject) => {
      last += 1;
      const id = last;
      const onExit = (): void =>
        reject(new Error(`the client exited during ${action}: ${errors.slice(-2_000)}`));
      const onMessage = (reply: Reply): void => {
        if (reply.id !== id) return;
        host.off('message', onMessage).off('exit', onExit);
        if (reply.error === undefined) resolve(reply.result ?? null);
        else reject(new Error(`${action} failed in the client: ${reply.error}`));
      };
      host.on('message', onMessage).once('exit', onExit);
      host.send({ id, action, given });
    });
}

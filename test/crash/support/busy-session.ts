/**
 * A session that does everything at once; each step is announced, so that a test can kill the server there.
 */
import { EventEmitter, once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { recordsIn } from './leftovers.ts';
import type { Place } from './place.ts';
import type { ServerProcess } from './server-process.ts';

/** In order. */
export const STEPS = [
  'creating',
  'created',
  'commands run',
  'client connected',
  'uploading',
  'stopping',
  'creating again',
  'extending',
  'writing',
] as const;
/** `idle`: only in a session that waits for the stock. */
export type Step = (typeof STEPS)[number] | 'idle';

/** Answers every connection with a line and keeps it open. */
const LISTENER = `require('net').createServer((s) => s.write('hi\\n')).listen(8080, () => console.log('up'))`;
/** Leaves its session and its parent twice. */
const TREE = 'for i in 1 2 3; do (setsid sh -c "setsid sleep 1000 & sleep 1000" &) ; done; sleep 1000';
const UPLOAD_FILES = 24;

const created = z.object({ sandbox_id: z.string() });
const started = z.object({ command_id: z.string() });
const withPorts = z.object({ ports: z.array(z.object({ url: z.string() })) });
const logged = z.object({ lines: z.array(z.object({ data: z.string() })) });

export interface BusySession {
  /** Resolves when the step is reached. Rejects if the session failed before. */
  reached(step: Step): Promise<void>;
  /** Rejects if the session failed; otherwise never settles. */
  readonly playing: Promise<void>;
  /** The host port forwarded to a sandbox, once a client is connected to it. */
  readonly port: number | null;
  /** Releases what the session holds in this process; resolves when none of its calls is running. */
  release(): Promise<void>;
}

/**
 * Starts the session: three sandboxes, five commands, an open port with a client, an upload, then a stop and
 * a create. `onStep` is called at each step, before its first request. `awaitsStock`: before the upload
 * it does nothing until the server has booted a sandbox ahead, which the second create then gets.
 */
export function startBusySession(
  server: ServerProcess,
  place: Place,
  onStep: (step: Step) => void = () => {},
  awaitsStock = false,
): BusySession {
  const steps = new EventEmitter();
  const passed = new Set<Step>();
  let client: Socket | null = null;
  const pending: Promise<unknown>[] = [];
  const also = (call: Promise<unknown>): void => {
    pending.push(call.catch(() => {}));
  };
  const play = async (): Promise<void> => {
    const reach = (step: Step): void => {
      onStep(step);
      passed.add(step);
      steps.emit(step);
    };
    const make = async (args: Record<string, unknown> = {}): Promise<string> =>
      created.parse(await server.call('sandbox_create', { resources: { vcpus: 1 }, ...args })).sandbox_id;

    await writeUpload(place);
    reach('creating');
    const creating = Promise.all([make({ ports: [8080] }), make(), make()]);
    const [first, second, third] = await creating;
    reach('created');

    const start = (sandbox_id: string, cmd: string, args: string[]) =>
      server.call('sandbox_run_command_detached', { sandbox_id, cmd, args });
    const [listening] = await Promise.all([
      start(first, 'node', ['-e', LISTENER]),
      start(first, 'sh', ['-c', 'while :; do echo flood; done']),
      start(second, 'bash', ['-c', TREE]),
      start(third, 'sh', ['-c', 'trap "" TERM HUP INT; while :; do sleep 1; done']),
    ]);
    also(server.call('sandbox_run_command', { sandbox_id: third, cmd: 'sleep', args: ['1000'] }));
    const { command_id } = started.parse(listening);
    reach('commands run');

    await untilUp(server, command_id);
    const [port] = withPorts.parse(await server.call('sandbox_get', { sandbox_id: first })).ports;
    client = connect(Number(new URL(port?.url ?? '').port), '127.0.0.1');
    client.on('error', () => {});
    // A server that is killed right here closes the connection without an error.
    const lost = new AbortController();
    client.once('close', () => lost.abort());
    await once(client, 'data', { signal: lost.signal });
    reach('client connected');

    if (awaitsStock) {
      reach('idle');
      await untilStocked(server, place);
    }
    const upload = { sandbox_id: third, local_path: join(place.files, 'up'), remote_path: 'up' };
    reach('uploading');
    also(server.call('sandbox_upload_file', upload));
    reach('stopping');
    await server.call('sandbox_stop', { sandbox_id: second });
    reach('creating again');
    const fourth = await make({ ports: [8081] });
    // Many at once: their records are written one after the other without further requests.
    const extend = { sandbox_id: fourth, duration_ms: 100 };
    reach('extending');
    await Promise.all(Array.from({ length: 60 }, () => server.call('sandbox_extend_timeout', extend)));
    reach('writing');
    for (let i = 0; ; i++) {
      const files = [{ path: `d/${i}`, content: 'x'.repeat(10_000) }];
      await server.call('sandbox_write_files', { sandbox_id: fourth, files });
    }
  };
  const playing = play();
  const played = playing.catch(() => {});
  return {
    playing,
    async reached(step) {
      if (!passed.has(step)) await Promise.race([once(steps, step), playing]);
    },
    get port() {
      return client?.remotePort ?? null;
    },
    async release() {
      client?.destroy();
      await Promise.all([played, ...pending]);
    },
  };
}

async function writeUpload(place: Place): Promise<void> {
  const folder = join(place.files, 'up');
  await mkdir(folder, { recursive: true });
  const megabyte = Buffer.alloc(1_048_576, 'upload');
  for (let i = 0; i < UPLOAD_FILES; i++) await writeFile(join(folder, `${i}.bin`), megabyte);
}

/** Resolves when a sandbox was booted ahead and recorded, or the server has ended. */
export async function untilStocked(server: ServerProcess, place: Place): Promise<void> {
  let ended = false;
  const exited = server.exited.then(() => {
    ended = true;
  });
  while (!ended && !stockIn(place.stateDir).some((record) => /"init": \{/.test(record)))
    await Promise.race([delay(20), exited]);
}

/** The records of sandboxes that were booted ahead. */
export function stockIn(stateDir: string): string[] {
  return recordsIn(stateDir).filter((record) => record.includes('"runtime": ".stock"'));
}

async function untilUp(server: ServerProcess, command_id: string): Promise<void> {
  for (;;) {
    const { lines } = logged.parse(await server.call('command_logs', { command_id, wait_ms: 20_000 }));
    if (lines.some(({ data }) => data === 'up')) return;
  }
}

/** The OCI runtimes alone, on containers of the same kind as the server's. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type BenchServer, openServer } from './server.ts';
import { TimedSpawner } from './timed-spawner.ts';

const probed = z.object({
  runtime: z.object({ name: z.string(), path: z.string(), version: z.string(), hideUnified: z.boolean() }),
});

export interface BareRuntime {
  readonly label: string;
  readonly path: string;
  readonly server: BenchServer;
  readonly spawner: TimedSpawner;
  close(): Promise<void>;
}

export const RUNTIMES = ['crun', 'runc'] as const;

/** A server on this runtime, and how that server calls the runtime. Null if it is not installed. */
async function openRuntime(
  dist: string,
  name: (typeof RUNTIMES)[number],
  warm: number,
): Promise<BareRuntime | null> {
  const places = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];
  if (!places.some((place) => existsSync(join(place, name)))) return null;
  const server = await openServer(dist, name, [], warm);
  try {
    // The first sandbox makes the server detect how to call the runtime here.
    const trial = await server.create();
    await server.call('sandbox_stop', { sandbox_id: trial });
    const { runtime } = probed.parse(
      JSON.parse(await readFile(join(server.stateDir, 'runtime.json'), 'utf8')),
    );
    const spawner = new TimedSpawner(runtime.hideUnified);
    return {
      label: `${runtime.name} ${runtime.version}`,
      path: runtime.path,
      server,
      spawner,
      async close() {
        spawner.close();
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

/**
 * Every installed runtime, the server's own first choice first, each with a server of the build in `dist`.
 * @throws if there is none
 */
export async function openRuntimes(dist: string, warm = 0): Promise<[BareRuntime, ...BareRuntime[]]> {
  const found: BareRuntime[] = [];
  for (const name of RUNTIMES) {
    const runtime = await openRuntime(dist, name, warm);
    if (runtime !== null) found.push(runtime);
  }
  const [first, ...others] = found;
  if (first === undefined) throw new Error('no OCI runtime is installed: run `sandbox-mcp doctor --fix`');
  return [first, ...others];
}

/** The command line that runs a program in a sandbox of the server, bypassing the server. */
export function execLine(
  { path, server }: BareRuntime,
  sandboxId: string,
  program: readonly string[],
): string[] {
  return [
    path,
    '--root',
    join(server.stateDir, 'sandboxes', sandboxId, 'runtime'),
    'exec',
    sandboxId,
    ...program,
  ];
}

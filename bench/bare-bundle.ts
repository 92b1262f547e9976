/** A bundle like that of the server's sandboxes, with another program in place of the agent. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { BareRuntime } from './bare-runtime.ts';

const config = z.looseObject({
  process: z.looseObject({ args: z.array(z.string()) }),
  mounts: z.array(
    z.looseObject({ destination: z.string(), source: z.string(), options: z.array(z.string()) }),
  ),
  linux: z.looseObject({
    cgroupsPath: z.string().optional(),
    namespaces: z.array(z.looseObject({ type: z.string(), path: z.string().optional() })),
  }),
});

export interface BareBundle {
  /** The arguments of the runtime before its verb. */
  readonly global: string[];
  readonly bundle: string;
  remove(): Promise<void>;
}

/**
 * Copies the bundle that a running sandbox was started from. Directories are created in advance, unlike in a
 * create by the server.
 */
export async function copyBundle(
  runtime: BareRuntime,
  sandboxId: string,
  program: readonly string[],
): Promise<BareBundle> {
  const sandboxes = join(runtime.server.stateDir, 'sandboxes');
  const from = join(sandboxes, sandboxId);
  const to = join(runtime.server.stateDir, `bare-${sandboxId}`);
  await mkdir(to, { mode: 0o711 });
  await promisify(execFile)('cp', [
    '-a',
    join(from, 'bundle'),
    join(from, 'layers'),
    join(from, 'trust'),
    to,
  ]);
  const file = join(to, 'bundle/config.json');
  const parsed = config.parse(JSON.parse((await readFile(file, 'utf8')).replaceAll(`${from}/`, `${to}/`)));
  parsed.process.args = [...program];
  for (const mount of parsed.mounts) {
    // The server's launcher mounts these overlays; a bare runtime gets the host's directory as it is, which
    // costs less.
    if (!mount.source.startsWith(`${to}/bundle/`)) continue;
    mount.source = mount.destination;
    mount.options = ['bind', 'ro'];
  }
  if (parsed.linux.cgroupsPath !== undefined) parsed.linux.cgroupsPath = `/sandbox-mcp.bare-${sandboxId}`;
  // The server's launcher makes the user namespace; a bare runtime makes its own.
  for (const namespace of parsed.linux.namespaces) delete namespace.path;
  await writeFile(file, JSON.stringify(parsed));
  return {
    global: [runtime.path, '--root', join(to, 'runtime')],
    bundle: join(to, 'bundle'),
    remove: () => rm(to, { recursive: true, force: true }),
  };
}

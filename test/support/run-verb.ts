import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { SERVER } from './server.ts';

export interface VerbResult {
  code: unknown;
  out: string;
  err: string;
}

/** Runs the built program as from a shell, to its end. */
export async function runVerb(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<VerbResult> {
  const child = spawn(process.execPath, [SERVER, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, out, err };
}

/** The built server over HTTP, for clients that reach it by URL and a bearer token. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { SERVER } from '../support/server.ts';
import { PATIENT } from '../support/timeout-factor.ts';

/** The principal of the job, and its folder below `--allow-dir`. */
export const PRINCIPAL = 'job';
const TOKEN = 'token-of-the-job-0123456789';

export interface HttpTarget {
  readonly url: string;
  readonly headers: { readonly Authorization: string };
  /** Ends the server by SIGTERM; the exit code. */
  end(): Promise<number | null>;
}

/** Starts the server in `cwd` on a free port. */
export async function startHttpTarget(cwd: string, flags: readonly string[]): Promise<HttpTarget> {
  const args = [SERVER, '--transport', 'http', '--port', '0', ...PATIENT, ...flags];
  const env = {
    PATH: process.env['PATH'] ?? '',
    TMPDIR: tmpdir(),
    SANDBOX_MCP_AUTH_TOKENS: `${PRINCIPAL}:${TOKEN}`,
  };
  const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let logged = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      logged += chunk.toString('utf8');
      const found = /"url":"([^"]+)"/.exec(logged)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the server did not start:\n${logged}`)));
  });
  return {
    url,
    headers: { Authorization: `Bearer ${TOKEN}` },
    async end() {
      child.kill('SIGTERM');
      await exited;
      return child.exitCode;
    },
  };
}

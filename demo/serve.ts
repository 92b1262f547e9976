/** Starts a server in the sandbox and fetches a page from it on the host. */
import { fetch } from 'undici';
import { z } from 'zod';
import { anySignal } from '../src/shared/async/any-signal.ts';
import { commandAnswer } from './answers.ts';
import type { Program } from './project.ts';
import type { DemoServer } from './server.ts';

const READY_TIMEOUT_MS = 120_000;
const RETRY_MS = 50;

const domainAnswer = z.object({ url: z.string() });

export interface Page {
  url: string;
  status: number;
  bytes: number;
  /** The page's title, or its first line. */
  heading: string;
}

/** Null if the program ends, or does not answer within 15 s: then it is killed. */
export async function serveAndFetch(
  server: DemoServer,
  program: Program,
  at: { cwd: string; port: number },
  signal: AbortSignal,
): Promise<Page | null> {
  const { cmd, args } = program;
  const request = { cmd, args, cwd: at.cwd, env: { PORT: String(at.port) } };
  const started = await server.call('sandbox_run_command_detached', request, commandAnswer);
  const { url } = await server.call('sandbox_domain', { port: at.port }, domainAnswer);
  const command = { command_id: started.command_id };
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const page = await fetchPage(url, signal);
    if (page !== null) return page;
    const { status } = await server.call('sandbox_get_command', command, commandAnswer);
    if (status === 'finished') return null;
    if (performance.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  await server.call('command_kill', { ...command, signal: 'SIGKILL' }, z.unknown());
  return null;
}

/** Null while nothing listens inside: the forward then resets the connection. */
async function fetchPage(url: string, signal: AbortSignal): Promise<Page | null> {
  try {
    const limit = anySignal([signal, AbortSignal.timeout(READY_TIMEOUT_MS)]);
    const response = await fetch(url, { signal: limit, redirect: 'manual' });
    const body = await response.text();
    return { url, status: response.status, bytes: Buffer.byteLength(body), heading: headingOf(body) };
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

function headingOf(body: string): string {
  const title = /<title>([^<]*)<\/title>/i.exec(body)?.[1] ?? body.trimStart().split('\n')[0] ?? '';
  return title.trim().slice(0, 60);
}

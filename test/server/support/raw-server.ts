/** The real server at the level of bytes and lines, for input that the SDK's client would never send. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';
import { warm } from '../../support/host/warm-state.ts';
import { SERVER } from '../../support/server.ts';
import { temporaryFolder } from '../../tools/support/temporary-folder.ts';

/** The fields of a server message that tests use. */
export interface Message {
  id?: unknown;
  method?: unknown;
  params?: unknown;
  result?: unknown;
  error?: unknown;
}

export interface RawServer {
  process: ChildProcessWithoutNullStreams;
  stateDir: string;
  send(line: string | object): void;
  /** The next line written by the server, which must be JSON. */
  next(): Promise<Message>;
  /** The messages up to the one that answers this request, which is the last. */
  until(id: string | number): Promise<Message[]>;
  exited: Promise<unknown[]>;
  /** Resolves once this text is in the log. */
  logged(text: string): Promise<void>;
}

/** Starts the built server. It ends with the test. */
export async function rawServer(sharedStateDir?: string): Promise<RawServer> {
  const home = await temporaryFolder();
  // Sandbox users work below it.
  await chmod(home, 0o711);
  const stateDir = sharedStateDir ?? join(home, 's');
  const started = spawn(process.execPath, [SERVER, '--state-dir', stateDir], { cwd: home });
  const exited = once(started, 'exit');
  onTestFinished(async () => {
    started.kill('SIGTERM');
    await exited;
  });
  // Whatever is in flight when the server exits is lost.
  started.stdin.on('error', () => {});
  let log = '';
  started.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const lines = createInterface({ input: started.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Message> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the server has closed its output; its log: ${log}`);
    return JSON.parse(String(value));
  };
  return {
    process: started,
    stateDir,
    send: (line) => void started.stdin.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`),
    next,
    async until(id) {
      const messages: Message[] = [];
      do messages.push(await next());
      while (messages.at(-1)?.id !== id);
      return messages;
    },
    exited,
    async logged(text) {
      while (!log.includes(text)) await once(started.stderr, 'data');
    },
  };
}

export function request(id: string | number, method: string, params: object = {}): object {
  return { jsonrpc: '2.0', id, method, params };
}

export function initialize(id: string | number, protocolVersion: unknown = '2025-11-25'): object {
  const clientInfo = { name: 'test', version: '1' };
  return request(id, 'initialize', { protocolVersion, capabilities: {}, clientInfo });
}

export async function initialized(): Promise<RawServer> {
  const home = await temporaryFolder();
  await chmod(home, 0o711);
  const stateDir = join(home, 's');
  await warm(stateDir);
  const server = await rawServer(stateDir);
  server.send(initialize(0));
  expect(await server.next()).toMatchObject({ id: 0, result: { serverInfo: { name: 'sandbox-mcp' } } });
  server.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
  return server;
}

export async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

let lastId = 1_000;

/** The data of a tool's answer. */
export async function call(
  server: RawServer,
  name: string,
  args: object = {},
): Promise<Record<string, unknown>> {
  lastId += 1;
  server.send(request(lastId, 'tools/call', { name, arguments: args }));
  const result = Object((await server.until(lastId)).at(-1)?.result);
  expect(result).not.toMatchObject({ isError: true });
  return result.structuredContent;
}

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { identify, isProcessAlive } from '../../src/shared/process-identity.ts';
import { SERVER } from '../support/server.ts';
import { temporaryFolder } from '../tools/support/temporary-folder.ts';
import { residentBytes } from './support/raw-server.ts';

const MEGABYTE = 1_048_576;

let child: ChildProcessWithoutNullStreams | null = null;

afterEach(() => {
  child?.kill('SIGKILL');
  child = null;
});

interface RawServer {
  process: ChildProcessWithoutNullStreams;
  send(line: string | object): void;
  /** The next line written by the server, which must be JSON. */
  next(): Promise<unknown>;
  exited: Promise<unknown[]>;
}

/** The real server, accessed at the byte level. */
async function rawServer(): Promise<RawServer> {
  const home = await temporaryFolder();
  const started = spawn(process.execPath, [SERVER, '--state-dir', join(home, 's')], { cwd: home });
  child = started;
  started.stderr.resume();
  const lines = createInterface({ input: started.stdout })[Symbol.asyncIterator]();
  return {
    process: started,
    send: (line) => void started.stdin.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`),
    async next() {
      const { value } = await lines.next();
      return JSON.parse(String(value));
    },
    exited: once(started, 'exit'),
  };
}

function request(id: number, method: string, params: object = {}): object {
  return { jsonrpc: '2.0', id, method, params };
}

async function initialized(): Promise<RawServer> {
  const server = await rawServer();
  const clientInfo = { name: 'test', version: '1' };
  server.send(request(0, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }));
  expect(await server.next()).toMatchObject({ id: 0, result: { serverInfo: { name: 'sandbox-mcp' } } });
  server.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
  return server;
}

describe('malformed input', () => {
  it('is rejected line by line, and the connection stays open', async () => {
    const server = await initialized();
    server.send('this is no JSON');
    expect(await server.next()).toMatchObject({ id: null, error: { code: -32700 } });
    server.send('{"jsonrpc":"2.0","id":5,"method":7}');
    expect(await server.next()).toMatchObject({ id: 5, error: { code: -32600 } });
    server.send('[]');
    expect(await server.next()).toMatchObject({ id: null, error: { code: -32600 } });
    server.send(Buffer.from([0xff, 0xfe, 0x00]).toString('latin1'));
    expect(await server.next()).toMatchObject({ id: null, error: { code: -32700 } });
    server.send('{"jsonrpc":"2.0","id":99,"result":{}}');
    server.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}');
    server.send(request(6, 'no/such/method'));
    expect(await server.next()).toMatchObject({ id: 6, error: { code: -32601 } });
    server.send(request(7, 'tools/call', { name: 5 }));
    expect(await server.next()).toMatchObject({ id: 7, error: { code: -32602 } });
    server.send(request(8, 'tools/call', { name: 'session_info', arguments: [] }));
    expect(await server.next()).toMatchObject({ id: 8, result: { isError: true } });
    server.send(request(8, 'tools/call'));
    expect(await server.next()).toMatchObject({ id: 8, error: { code: -32602 } });
    server.send(request(9, 'ping'));
    expect(await server.next()).toMatchObject({ id: 9, result: {} });
  });

  it('is rejected when it is too long, without growing the server', async () => {
    const server = await initialized();
    const before = await residentBytes(server.process.pid);
    const part = Buffer.alloc(MEGABYTE, 0x61);
    const writeAll = async (): Promise<void> => {
      for (let index = 0; index < 128; index++) {
        if (!server.process.stdin.write(part)) await once(server.process.stdin, 'drain');
      }
      server.process.stdin.write('\n');
    };
    const written = writeAll();
    expect(await server.next()).toMatchObject({ id: null, error: { code: -32600 } });
    await written;
    server.send(request(1, 'ping'));
    expect(await server.next()).toMatchObject({ id: 1, result: {} });
    expect(await residentBytes(server.process.pid)).toBeLessThan(before + 110 * MEGABYTE);
  });
});

describe('the end of the session', () => {
  it('comes with the end of input', async () => {
    const server = await initialized();
    server.process.stdin.end();
    expect(await server.exited).toEqual([0, null]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('comes with %s', async (signal) => {
    const server = await initialized();
    server.process.kill(signal);
    expect(await server.exited).toEqual([0, null]);
  });

  it('comes when its output is closed', async () => {
    const server = await initialized();
    server.process.stdout.destroy();
    server.send(request(1, 'ping'));
    server.send(request(2, 'ping'));
    expect(await server.exited).toEqual([0, null]);
  });

  it('comes when the parent has exited, though input stays open', async () => {
    const home = await temporaryFolder();
    // The shell passes its streams to the server, prints the server's pid and waits to be killed.
    const script = '"$0" "$1" --state-dir "$2" <&3 & echo $! >&2; wait';
    const shell = spawn('bash', ['-c', script, process.execPath, SERVER, join(home, 's')], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      cwd: home,
    });
    const { stdout, stderr, stdio } = shell;
    const input = stdio[3];
    if (stdout === null || stderr === null || !(input instanceof Writable)) throw new Error('no streams');
    const [number] = await once(createInterface({ input: stderr }), 'line');
    const server = identify(Number(number));
    const answered = once(createInterface({ input: stdout }), 'line');
    input.write(`${JSON.stringify(request(1, 'ping'))}\n`);
    await answered;
    shell.kill('SIGKILL');
    // Its exit closes the streams it shared with the shell.
    await once(shell, 'close');
    expect(server !== null && isProcessAlive(server)).toBe(false);
  });
});

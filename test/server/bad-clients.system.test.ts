/** Clients that break the protocol or use it in unusual ways, over the real streams. */
import { describe, expect, it } from 'vitest';
import {
  call,
  initialize,
  initialized,
  type RawServer,
  rawServer,
  request,
  residentBytes,
} from './support/raw-server.ts';

const MEGABYTE = 1_048_576;
const MAX_LINE_BYTES = 32 * MEGABYTE;

/** Exits by itself: with 0, or 1 if the machine was too slow to end everything in time. */
const EXITED = [expect.any(Number), null];

/** A ping whose line has exactly this many bytes. */
function pingOf(id: number, bytes: number): string {
  const line = (padding: string): string => JSON.stringify(request(id, 'ping', { padding }));
  return line('x'.repeat(bytes - line('').length));
}

describe('a client that cancels', () => {
  it('twice, and again after the end, gets no answer to that call; the command is killed', async () => {
    const server = await initialized();
    await call(server, 'sandbox_create');
    const args = { cmd: 'bash', args: ['-c', 'echo started; sleep 1000'] };
    const _meta = { progressToken: 'p' };
    server.send(request('run', 'tools/call', { name: 'sandbox_run_command', arguments: args, _meta }));
    const message = await server.next();
    expect(message).toMatchObject({ method: 'notifications/progress', params: { progressToken: 'p' } });
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'run' } };
    server.send(cancelled);
    server.send(cancelled);
    await expect.poll(async () => (await call(server, 'session_info'))['commands']).toEqual([]);
    server.send(cancelled);
    server.send(request('last', 'ping'));
    const messages = await server.until('last');
    expect(messages.filter(({ id }) => id === 'run')).toEqual([]);
  });
});

describe('a client with an odd progress token', () => {
  it('gets progress with zero, an empty text and a negative number', async () => {
    const server = await initialized();
    await call(server, 'sandbox_create');
    const args = { cmd: 'bash', args: ['-c', 'echo started; sleep 0.1'] };
    for (const progressToken of [0, '', -1]) {
      const params = { name: 'sandbox_run_command', arguments: args, _meta: { progressToken } };
      server.send(request('run', 'tools/call', params));
      const messages = await server.until('run');
      expect(messages[0]).toMatchObject({ method: 'notifications/progress', params: { progressToken } });
    }
  });

  it('is told what a valid token is', async () => {
    const server = await initialized();
    for (const progressToken of [null, 1.5, true, {}, ['x']]) {
      server.send(request('run', 'tools/call', { name: 'session_info', _meta: { progressToken } }));
      expect(await server.next()).toEqual({
        jsonrpc: '2.0',
        id: 'run',
        error: {
          code: -32602,
          message: 'Invalid params: params._meta.progressToken must be a string or an integer',
        },
      });
    }
  });
});

describe('the handshake', () => {
  it('is answered again, and the session keeps its sandbox', async () => {
    const server = await initialized();
    const created = await call(server, 'sandbox_create');
    server.send(initialize('again', '2025-06-18'));
    const result = { protocolVersion: '2025-06-18', serverInfo: { name: 'sandbox-mcp' } };
    expect(await server.next()).toMatchObject({ id: 'again', result });
    expect(await call(server, 'sandbox_get')).toMatchObject({
      sandbox_id: created['sandbox_id'],
      status: 'running',
    });
  });

  it('may arrive late: requests before it are answered', async () => {
    const server = await rawServer();
    server.send(request('ping', 'ping'));
    expect(await server.next()).toMatchObject({ id: 'ping', result: {} });
    server.send(request('list', 'tools/list'));
    expect(await server.next()).toMatchObject({ id: 'list', result: { tools: expect.any(Array) } });
    expect(await call(server, 'sandbox_list')).toMatchObject({ sandboxes: [] });
    server.send(initialize('late'));
    // No `initialized` follows.
    expect(await server.next()).toMatchObject({ id: 'late', result: { protocolVersion: '2025-11-25' } });
    expect(await call(server, 'sandbox_list')).toMatchObject({ sandboxes: [] });
  });

  it.each(['2099-01-01', '1', ''])(
    'offers the newest version to a client of version "%s"',
    async (version) => {
      const server = await rawServer();
      server.send(initialize('first', version));
      expect(await server.next()).toMatchObject({ id: 'first', result: { protocolVersion: '2025-11-25' } });
    },
  );

  it('rejects a version that is not text, and can be repeated', async () => {
    const server = await rawServer();
    for (const version of [5, null, {}]) {
      server.send(initialize('first', version));
      const message = expect.stringMatching(/^Invalid params: params\.protocolVersion: /);
      expect(await server.next()).toMatchObject({ id: 'first', error: { code: -32602, message } });
    }
    server.send(initialize('second'));
    expect(await server.next()).toMatchObject({ id: 'second', result: { protocolVersion: '2025-11-25' } });
  });

  it('reports an unknown method to a client of the stateless protocol', async () => {
    const server = await rawServer();
    server.send(request('probe', 'server/discover'));
    expect(await server.next()).toMatchObject({ id: 'probe', error: { code: -32601 } });
    server.send(initialize('first'));
    expect(await server.next()).toMatchObject({ id: 'first', result: { protocolVersion: '2025-11-25' } });
  });
});

describe('a client that ends in the middle of a line', () => {
  it('has not sent that message, and the server exits', async () => {
    const server = await initialized();
    server.process.stdin.end(JSON.stringify(request('half', 'ping')));
    expect(await server.exited).toEqual(EXITED);
    await expect(server.next()).rejects.toThrow('has closed its output');
  });
});

describe('a line of 32 MiB', () => {
  it('is the longest that is accepted', async () => {
    const server = await initialized();
    server.send(pingOf(1, MAX_LINE_BYTES));
    expect(await server.next()).toMatchObject({ id: 1, result: {} });
    server.send(pingOf(2, MAX_LINE_BYTES + 1));
    const message = expect.stringContaining('33554432 bytes');
    expect(await server.next()).toMatchObject({ id: null, error: { code: -32600, message } });
    server.send(request(3, 'ping'));
    expect(await server.next()).toMatchObject({ id: 3, result: {} });
  });
});

describe('a client that reads nothing', () => {
  const REQUESTS = 3_000;
  /** Padding, so that little is in flight in a pipe. */
  const list = (id: number): object => request(id, 'tools/list', { _meta: { padding: 'x'.repeat(1_000) } });

  /** The server, once it has stopped reading too. */
  async function stalled(): Promise<RawServer> {
    const server = await initialized();
    server.process.stdout.pause();
    for (let id = 1; id <= REQUESTS; id += 1) server.send(list(id));
    await server.logged('the client does not read its answers');
    return server;
  }

  it('is not read any further, which bounds memory, and gets all answers when it reads again', async () => {
    const server = await initialized();
    server.send(list(0));
    const answerBytes = JSON.stringify(await server.next()).length;
    const before = await residentBytes(server.process.pid);
    server.process.stdout.pause();
    for (let id = 1; id <= REQUESTS; id += 1) server.send(list(id));
    await server.logged('the client does not read its answers');
    expect(REQUESTS * answerBytes).toBeGreaterThan(80 * MEGABYTE);
    expect(await residentBytes(server.process.pid)).toBeLessThan(before + 70 * MEGABYTE);
    expect(server.process.stdin.writableLength).toBeGreaterThan(0);
    server.process.stdout.resume();
    for (let id = 1; id <= REQUESTS; id += 1) expect(await server.next()).toMatchObject({ id });
  });

  it('can end the server with a signal', async () => {
    const server = await stalled();
    server.process.kill('SIGTERM');
    await server.exited;
    expect(server.process.signalCode).toBeNull();
  });

  it('ends the server when it closes its streams', async () => {
    const server = await stalled();
    server.process.stdout.destroy();
    server.process.stdin.destroy();
    expect(await server.exited).toEqual(EXITED);
  });
});

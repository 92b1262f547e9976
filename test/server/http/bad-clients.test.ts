/** The clients of ../bad-clients.system.test.ts, over HTTP. */
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { deferred, toolOf } from '../support/connected-server.ts';
import { type HttpServer, INITIALIZE, post, startHttp } from './support/http-server.ts';

const MAX_MESSAGE_BYTES = 32 * 1_048_576;

/** A session, in which messages are sent one by one, each with the answers to it. */
async function openSession(server: HttpServer, version = '2025-11-25') {
  const params = { ...INITIALIZE.params, protocolVersion: version };
  const opened = await post(server, { ...INITIALIZE, params });
  const [result] = answersIn(await opened.text());
  const headers = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' };
  const send = async (message: object, more: Record<string, string> = {}) => {
    const response = await post(server, message, { ...headers, ...more });
    return { status: response.status, answers: answersIn(await response.text()) };
  };
  return { result, headers, send };
}

/** Those of a stream of events, or the one of a JSON body. */
function answersIn(text: string): unknown[] {
  if (text.startsWith('{')) return [JSON.parse(text)];
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => JSON.parse(data));
}

const call = (id: unknown, name: string, args: object = {}, meta: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args, _meta: meta },
});
const PING = { jsonrpc: '2.0', id: 'ping', method: 'ping' };

/** It says a line, then ends. */
const chatty = toolOf('chatty', async (_args, { progress }) => progress('half way'));

describe('over HTTP, a client', () => {
  it('may cancel twice, and again after the end: the handler is told once', async () => {
    const [started, ended] = [deferred<null>(), deferred<null>()];
    let aborts = 0;
    const slow = toolOf('slow', async (_args, { signal }) => {
      started.resolve(null);
      await once(signal, 'abort');
      aborts += 1;
      ended.resolve(null);
    });
    const server = await startHttp({ tools: [slow] });
    const { headers, send } = await openSession(server);
    const calling = await post(server, call('run', 'slow'), headers);
    await started.promise;
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'run' } };
    for (let times = 0; times < 2; times += 1) expect((await send(cancelled)).status).toBe(202);
    await ended.promise;
    expect((await send(cancelled)).status).toBe(202);
    expect(await send(PING)).toEqual({ status: 200, answers: [expect.objectContaining({ id: 'ping' })] });
    expect(aborts).toBe(1);
    await calling.body?.cancel();
  });

  it('gets progress with odd tokens that are valid, and is told what a valid one is', async () => {
    const server = await startHttp({ tools: [chatty] });
    const { send } = await openSession(server);
    for (const progressToken of [0, '', -1]) {
      const { answers } = await send(call('run', 'chatty', {}, { progressToken }));
      expect(answers).toEqual([
        expect.objectContaining({
          method: 'notifications/progress',
          params: expect.objectContaining({ progressToken }),
        }),
        expect.objectContaining({ id: 'run', result: expect.anything() }),
      ]);
    }
    for (const progressToken of [null, 1.5, true, {}, ['x']]) {
      const { status, answers } = await send(call('run', 'chatty', {}, { progressToken }));
      expect(status).toBe(400);
      expect(answers).toEqual([
        expect.objectContaining({
          id: 'run',
          error: expect.objectContaining({ code: -32602, message: expect.stringContaining('progressToken') }),
        }),
      ]);
    }
  });

  it('keeps its session and its sandbox when it initializes again', async () => {
    const server = await startHttp();
    const { send } = await openSession(server);
    await send(call(1, 'sandbox_create'));
    const { status, answers } = await send(INITIALIZE);
    expect(status).toBe(400);
    expect(answers).toEqual([expect.objectContaining({ error: expect.anything() })]);
    const { answers: seen } = await send(call(2, 'sandbox_get'));
    expect(JSON.stringify(seen)).toContain('"status":"running"');
  });

  it('is answered before it says that it is initialized', async () => {
    const { send } = await openSession(await startHttp());
    const { status, answers } = await send(call(1, 'sandbox_list'));
    expect(status).toBe(200);
    expect(JSON.stringify(answers)).toContain('"sandboxes":[]');
  });

  it.each(['2099-01-01', '1', ''])('of version "%s" is offered the newest one', async (version) => {
    const { result, send } = await openSession(await startHttp(), version);
    expect(result).toMatchObject({ result: { protocolVersion: '2025-11-25' } });
    // Which it should then name; it is told so if it names its own.
    const named = await send(PING, { 'mcp-protocol-version': version });
    expect(named.status).toBe(400);
    expect((await send(PING)).status).toBe(200);
  });

  it('may send 32 MiB in one message, and is refused more', async () => {
    const { send } = await openSession(await startHttp());
    const empty = JSON.stringify({ ...PING, params: { padding: '' } }).length;
    const pingOf = (bytes: number) => ({ ...PING, params: { padding: 'x'.repeat(bytes - empty) } });
    expect((await send(pingOf(MAX_MESSAGE_BYTES))).status).toBe(200);
    const { status, answers } = await send(pingOf(MAX_MESSAGE_BYTES + 1));
    expect(status).toBe(413);
    expect(JSON.stringify(answers)).toContain(String(MAX_MESSAGE_BYTES));
    expect((await send(PING)).status).toBe(200);
  });
});

describe('over HTTP, a client that reads nothing', () => {
  const CALLS = 2_000;
  const ANSWER_BYTES = 25_000;

  /** A POST as it is sent. */
  function requestOf(body: string, headers: Record<string, string>): string {
    const head = Object.entries({
      host: 'localhost',
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'content-length': String(body.length),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST /mcp HTTP/1.1\r\n${head.join('')}\r\n${body}`;
  }

  /** A client that has sent calls behind each other, and what has been done of them. */
  async function deafClient() {
    let done = 0;
    const large = toolOf('large', async () => {
      done += 1;
      return 'x'.repeat(ANSWER_BYTES);
    });
    const server = await startHttp({ tools: [large] });
    const { headers, send } = await openSession(server);
    const socket = connectSocket(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('error', () => {}).pause();
    for (let id = 0; id < CALLS; id += 1) socket.write(requestOf(JSON.stringify(call(id, 'large')), headers));
    await expect.poll(() => done).toBeGreaterThan(0);
    // Others are served meanwhile.
    for (let others = 0; others < 50; others += 1) expect((await send(PING)).status).toBe(200);
    return { server, socket, done: () => done };
  }

  it('is not read any further, and gets all answers when it reads again', async () => {
    const { socket, done } = await deafClient();
    expect(done()).toBeLessThan(CALLS / 2);
    let answers = 0;
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      const text = rest + chunk.toString('latin1');
      answers += text.split('HTTP/1.1 200 OK').length - 1;
      rest = text.slice(-14);
    });
    socket.resume();
    await expect.poll(() => answers).toBe(CALLS);
    expect(done()).toBe(CALLS);
    socket.destroy();
  });

  it('does not keep the server from its end', async () => {
    const { server, socket } = await deafClient();
    server.signal();
    server.signal();
    await server.ended;
    socket.destroy();
  });
});

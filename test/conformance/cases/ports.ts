import { once } from 'node:events';
import { createConnection } from 'node:net';
import { fetch } from 'undici';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { start, untilOutput } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const HTTP_SERVER = `require('http').createServer((q, s) => s.end('hello ' + q.url)).listen(8080, () => console.log('up'))`;
/** Answers the opening handshake of RFC 6455 and sends one text frame. */
const WEBSOCKET_SERVER = `require('http').createServer().on('upgrade', (q, s) => {
  const key = require('crypto').createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  s.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + key + '\\r\\n\\r\\n');
  s.write(Buffer.from([0x81, 2, 0x68, 0x69]));
}).listen(8080, () => console.log('up'))`;
/** Reads to the end of its input, then responds: works only if half-closes are passed on. */
const HALF_CLOSE_SERVER = `require('net').createServer({ allowHalfOpen: true }, (s) => {
  let n = 0; s.on('data', (d) => { n += d.length; }).on('end', () => s.end(String(n)));
}).listen(8080, () => console.log('up'))`;

const NO_TCP = 'this engine exposes no ports, or to clients of HTTP alone';

/** Exposed ports, if the engine supports them. */
export function portCases(get: () => Subject, extent: Extent): void {
  describeCases('ports', extent, (it) => {
    it('names the programs that are listening, exposed or not', async () => {
      const { engine, shared } = get();
      if (engine.ports === undefined) return;
      const listen = `for (const port of [8181, 8182]) require('net').createServer().listen(port)
        .on('listening', () => console.log('up ' + port))`;
      const { commandId } = await start(get(), 'node', ['-e', listen]);
      await untilOutput(get(), commandId, 'up 8182');
      const listeners = await engine.ports.listeners(shared.sandboxId, timeoutSignal());
      const own = listeners.filter(({ port }) => port === 8181 || port === 8182);
      expect(own).toEqual(
        [8181, 8182].map((port) => ({
          port,
          pid: own[0]?.pid,
          program: expect.stringMatching(/node|MainThread/),
        })),
      );
      expect(own[0]?.pid).toBeGreaterThan(1);
      await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
      await expect
        .poll(async () => engine.ports?.listeners(shared.sandboxId, timeoutSignal()))
        .not.toContainEqual(expect.objectContaining({ port: 8181 }));
    });

    const serve = async (program: string, work: (url: string) => Promise<void>) => {
      const { engine, shared } = get();
      const { commandId } = await start(get(), 'node', ['-e', program]);
      try {
        await untilOutput(get(), commandId, 'up');
        const [port] = (await engine.get(shared.sandboxId, timeoutSignal())).ports;
        if (!port?.url) throw new Error('port 8080 has no url');
        await work(port.url);
      } finally {
        await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
      }
    };

    it('forward HTTP to a server in the sandbox', async (context) => {
      if (!get().engine.ports) return context.skip('this engine exposes no ports');
      await serve(HTTP_SERVER, async (url) => {
        expect(await (await fetch(`${url}/page`, { signal: timeoutSignal() })).text()).toBe('hello /page');
      });
    });

    it('pass WebSockets', async (context) => {
      if (!get().engine.ports) return context.skip('this engine exposes no ports');
      await serve(WEBSOCKET_SERVER, async (url) => {
        const socket = new WebSocket(url.replace(/^http/, 'ws'));
        const [message] = await once(socket, 'message');
        expect(String(message)).toBe('hi');
        socket.terminate();
      });
    });

    it('pass half-closes and a megabyte', async (context) => {
      if (!get().engine.ports || get().remote) return context.skip(NO_TCP);
      await serve(HALF_CLOSE_SERVER, async (url) => {
        const { hostname, port } = new URL(url);
        const socket = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true });
        socket.end(Buffer.alloc(1_000_000, 'x'));
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(Buffer.from(chunk));
        expect(Buffer.concat(chunks).toString()).toBe('1000000');
      });
    });

    it('reset a connection if nothing listens in the sandbox', async (context) => {
      const { engine, shared, remote } = get();
      if (!engine.ports || remote) return context.skip(NO_TCP);
      const url = (await engine.get(shared.sandboxId, timeoutSignal())).ports[0]?.url;
      await expect(fetch(String(url), { signal: timeoutSignal() })).rejects.toThrow('fetch failed');
    });

    it('open in another process that attaches to the sandbox', async (context) => {
      const { other, shared } = get();
      if (!other.ports) return context.skip('this engine exposes no ports');
      await other.ports.open(shared.sandboxId, timeoutSignal());
      const url = (await other.get(shared.sandboxId, timeoutSignal())).ports[0]?.url;
      await serve(HTTP_SERVER, async () => {
        expect(await (await fetch(`${url}/`, { signal: timeoutSignal() })).text()).toBe('hello /');
      });
    });

    it('exposes a further port of a running sandbox, for every process', async (context) => {
      const { engine, other, create } = get();
      const { ports } = engine;
      if (!ports) return context.skip('this engine exposes no ports');
      const { sandboxId } = await create({ ports: [9000] });
      await ports.expose(sandboxId, 8080, timeoutSignal());
      await ports.expose(sandboxId, 8080, timeoutSignal());
      const { commandId } = await start(get(), 'node', ['-e', HTTP_SERVER], { sandboxId });
      await untilOutput(get(), commandId, 'up');
      await other.ports?.open(sandboxId, timeoutSignal());
      for (const each of [engine, other]) {
        const view = await each.get(sandboxId, timeoutSignal());
        expect(view.ports.map(({ port }) => port)).toEqual([9000, 8080]);
        const answer = await fetch(`${view.ports[1]?.url}/late`, { signal: timeoutSignal() });
        expect(await answer.text()).toBe('hello /late');
      }
    });

    it('exposes no more than 15 ports, and none of a sandbox that has ended', async (context) => {
      const { engine, create } = get();
      const { ports } = engine;
      if (!ports) return context.skip('this engine exposes no ports');
      const exposed = Array.from({ length: 15 }, (_, index) => 9_000 + index);
      const { sandboxId } = await create({ ports: exposed });
      await expect(ports.expose(sandboxId, 8080, timeoutSignal())).rejects.toMatchObject({
        code: 'limit_exceeded',
        message: expect.stringContaining('8080'),
        hint: expect.stringContaining('9014'),
      });
      await engine.stop(sandboxId, 'requested', timeoutSignal());
      await expect(ports.expose(sandboxId, 9000, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    it('closes with the sandbox', async (context) => {
      const { engine, create, remote } = get();
      if (!engine.ports || remote) return context.skip(NO_TCP);
      const sandbox = await create({ ports: [9000] });
      const url = String(sandbox.ports[0]?.url);
      await engine.stop(sandbox.sandboxId, 'requested', timeoutSignal());
      await expect(fetch(url, { signal: timeoutSignal() })).rejects.toMatchObject({
        cause: { code: 'ECONNREFUSED' },
      });
    });
  });
}

/** Terminals for people: `interactive: true`, its port, and access control. */
import { once } from 'node:events';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { PersonTerminal } from '../../support/person-terminal.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

const PROTOCOL = 'sandbox-mcp.terminal.v1';

let server: RunningServer;
let port: number;
beforeAll(async () => {
  server = await startServer();
  const { structured } = await server.call('sandbox_create', { interactive: true, ports: [8080] });
  port = Number(structured['interactive_port']);
});
afterAll(() => server.close());

async function address(from = server): Promise<string> {
  const { structured } = await from.call('sandbox_get');
  const answer = await from.call('sandbox_domain', { port: structured['interactive_port'] });
  if (answer.isError) throw new Error(answer.text);
  return String(answer.structured['url']);
}

describe('a terminal over a WebSocket', () => {
  it('is null without interactive', async () => {
    const plain = await startServer();
    onTestFinished(() => plain.close());
    const { structured } = await plain.call('sandbox_create');
    expect(structured['interactive_port']).toBeNull();
  });

  it('passes input and output, and reports the exit code', async () => {
    const terminal = await PersonTerminal.open(`${await address()}&cols=100&rows=30`);
    terminal.socket.send('stty size; id -un; pwd; echo en""d\n');
    expect(await terminal.until('end\r\n')).toContain('30 100\r\nvercel-sandbox\r\n/vercel/sandbox\r\n');
    terminal.socket.send(Buffer.from('exit 7\n'));
    expect(await terminal.closed).toEqual({ code: 1000, reason: 'exit_code=7' });
  });

  it('resizes with its subprotocol, and rejects other text messages', async () => {
    const terminal = await PersonTerminal.open(await address(), ['other', PROTOCOL]);
    expect(terminal.socket.protocol).toBe(PROTOCOL);
    terminal.socket.send(JSON.stringify({ type: 'resize', cols: 61, rows: 17 }));
    terminal.socket.send(Buffer.from('stty size\n'));
    await terminal.until('17 61');
    terminal.socket.send('{"type":"resize","cols":0,"rows":1}');
    expect((await terminal.closed).code).toBe(1008);
  });

  it('delivers megabytes completely to a reader that pauses', async () => {
    const terminal = await PersonTerminal.open(await address());
    terminal.socket.pause();
    const script =
      'stty raw -echo; head -c 3000000 /dev/zero | tr "\\0" "x"; printf "%s" "-end-of"; echo "-it"';
    terminal.socket.send(`${script}; exit\n`);
    terminal.socket.resume();
    const text = await terminal.until('-end-of-it');
    expect(text.match(/x{1000,}/g)?.join('').length).toBe(3_000_000);
  });

  it('ends its program when the client disconnects', async () => {
    const terminal = await PersonTerminal.open(await address());
    terminal.socket.send('trap "" HUP; sleep 9876 & echo st""arted\n');
    await terminal.until('started');
    terminal.socket.close();
    const script = 'while pgrep -f "sleep 987[6]" > /dev/null; do sleep 0.05; done; echo gone';
    const waited = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
    expect(waited.structured).toMatchObject({ exit_code: 0, stdout: 'gone\n' });
  });
});

describe('access to the terminal', () => {
  it('is granted once per token', async () => {
    const url = await address();
    const terminal = await PersonTerminal.open(url);
    await expect(PersonTerminal.open(url)).rejects.toThrow('401');
    terminal.socket.close();
  });

  it.each(['', '?token=', `?token=${'A'.repeat(43)}`, '?token=%00', '//?token=x'])(
    'is denied for %j',
    async (path) => {
      await expect(PersonTerminal.open(`ws://127.0.0.1:${port}/${path}`)).rejects.toThrow('401');
    },
  );

  it.each([{ origin: 'https://evil.example' }, { headers: { host: 'evil.example' } }, { origin: 'null' }])(
    'is denied to pages of another site: %j, and the token stays valid',
    async (options) => {
      const url = await address();
      await expect(PersonTerminal.open(url, [], options)).rejects.toThrow('403');
      const terminal = await PersonTerminal.open(url, [], { origin: 'http://localhost:3000' });
      terminal.socket.close();
    },
  );

  it('is denied for an invalid window size, and the token stays valid', async () => {
    const url = await address();
    for (const size of ['cols=0', 'rows=1001', 'cols=x', 'rows=1.5']) {
      await expect(PersonTerminal.open(`${url}&${size}`)).rejects.toThrow('400');
    }
    (await PersonTerminal.open(url)).socket.close();
  });

  it('is denied to a ninth terminal', async () => {
    const other = await startServer();
    onTestFinished(() => other.close());
    await other.call('sandbox_create', { interactive: true });
    const open = [];
    for (let n = 0; n < 8; n += 1) open.push(await PersonTerminal.open(await address(other)));
    await expect(PersonTerminal.open(await address(other))).rejects.toThrow('503');
    for (const terminal of open) terminal.socket.close();
  });

  it('explains itself to a plain HTTP request', async () => {
    const plain = request(`http://127.0.0.1:${port}/`).end();
    const [response] = await once(plain, 'response');
    expect(response.statusCode).toBe(426);
    response.resume();
  });
});

describe('a read-only server', () => {
  it('returns the URLs of ports, but opens no terminal', async () => {
    const { structured } = await server.call('sandbox_get');
    await server.call('sandbox_create', { interactive: true, ports: [8081], keep: true });
    onTestFinished(async () => {
      await server.call('sandbox_stop', { blocking: true });
      await server.call('sandbox_get', { sandbox_id: structured['sandbox_id'] });
    });
    const kept = await server.call('sandbox_get');
    const reader = await startServer({ stateDir: server.stateDir, args: ['--read-only'] });
    onTestFinished(() => reader.close());
    const seen = await reader.call('sandbox_get', { sandbox_id: kept.structured['sandbox_id'] });
    const terminal = await reader.call('sandbox_domain', { port: seen.structured['interactive_port'] });
    expect(terminal.text).toContain('Error (permission)');
    expect(terminal.text).toContain('--read-only');
    expect(terminal.text).not.toContain('token');
    expect((await reader.call('sandbox_domain', { port: 8081 })).text).not.toContain('permission');
    const other = await reader.call('sandbox_domain', { port: 8099 });
    expect(other.text).toMatch(/^Error \(permission\): Port 8099 is not exposed.*\n.*--read-only.*8081/);
  });
});

describe('the port', () => {
  it('closes with its sandbox, and so do its terminals', async () => {
    const other = await startServer();
    onTestFinished(() => other.close());
    await other.call('sandbox_create', { interactive: true });
    const url = await address(other);
    const terminal = await PersonTerminal.open(url);
    const stopped = await other.call('sandbox_stop', { blocking: true });
    expect(stopped.structured).toMatchObject({ status: 'stopped', interactive_port: null });
    expect((await terminal.closed).code).toBe(1006);
    await expect(PersonTerminal.open(url)).rejects.toThrow('ECONNREFUSED');
  });

  it('opens again in a server that attaches to the sandbox', async () => {
    const first = await startServer();
    const { structured } = await first.call('sandbox_create', { interactive: true, keep: true });
    const second = await startServer({ stateDir: first.stateDir });
    await first.client.close();
    const taken = await second.call('sandbox_get', { sandbox_id: structured['sandbox_id'] });
    expect(taken.structured['interactive_port']).toEqual(expect.any(Number));
    const terminal = await PersonTerminal.open(await address(second));
    terminal.socket.send('echo he""re\n');
    await terminal.until('here');
    await second.call('sandbox_stop', { blocking: true });
    await second.close();
    await first.close();
  });
});

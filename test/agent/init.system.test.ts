import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { AgentSandbox, exists, isRoot, outcome, programs, runFrame } from './support/agent-sandbox.ts';
import { answer, type Connection, errno, fields, frame, request } from './support/protocol.ts';

const twoProcessors = needs('two processors', availableParallelism() > 1);

let sandbox: AgentSandbox | null = null;
afterEach(async () => {
  await sandbox?.stop();
  sandbox = null;
});

async function start(options: Parameters<typeof AgentSandbox.start>[0] = {}): Promise<AgentSandbox> {
  sandbox = await AgentSandbox.start(options);
  return sandbox;
}

async function printed(connection: Connection): Promise<void> {
  while ((await connection.expect(answer.output)).number(54) < 1);
}

describe('init', () => {
  it('rejects unknown arguments with 64 and 70', async () => {
    const agent = join(await programs(), 'agent');
    const run = promisify(execFile);
    const failing = async (...args: string[]): Promise<unknown> =>
      run(agent, args).then(
        () => 0,
        (error: { code?: unknown }) => error.code,
      );
    expect(await failing('init', '2', '1', '0', '0')).toBe(64);
    expect(await failing('init', '1', 'x', '0', '0')).toBe(64);
    expect(await failing('init')).toBe(64);
    expect(await failing('init', '1', '1000', '0', '0', 'cpus=')).toBe(64);
    expect(await failing('init', '1', '1000', '0', '0', 'cpus=1x')).toBe(64);
    expect(await failing('init', '1', '1000', '0', '0')).toBe(70);
  });

  it('answers PING and creates the directories of a sandbox', async () => {
    const box = await start({ deadlineMs: 60_000 });
    const pong = await box.ask(request.ping);
    expect(pong.number(40)).toBe(1);
    expect(pong.number(41)).toBeGreaterThan(50_000);
    expect(pong.number(41)).toBeLessThanOrEqual(60_000);
    const script =
      'stat -c "%n %u %a" /vercel/sandbox /home/vercel-sandbox /var/tmp /var/log /var/cache /var/lib';
    const { out } = await box.finish(['sh', '-c', script]);
    expect(out).toBe(
      `/vercel/sandbox ${box.uid} 755\n/home/vercel-sandbox ${box.uid} 755\n/var/tmp 0 1777\n` +
        '/var/log 0 755\n/var/cache 0 755\n/var/lib 0 755\n',
    );
  });

  it('gives programs the affinity of few processors, which they may widen', twoProcessors, async () => {
    const box = await start({ cpus: 1 });
    const script = 'nproc; taskset -p -c 0-8191 $$ > /dev/null; nproc';
    const counts = (await box.finish(['sh', '-c', script])).out.split('\n').map(Number);
    expect(counts[0]).toBe(1);
    expect(counts[1]).toBeGreaterThan(1);
    // Where one processor is busy, the kernel places further programs on another.
    const ownList = 'grep Cpus_allowed_list /proc/self/status';
    const busy = await box.run(['sh', '-c', `${ownList}; while :; do :; done`], { id: 'busy' });
    await printed(busy);
    const { out } = await box.log('busy');
    let count = 0;
    const another = async () => (await box.finish(['sh', '-c', ownList], { id: `p${++count}` })).out;
    await expect.poll(another, { timeout: 20_000 }).not.toBe(out.toString());
    busy.close();
  });

  it('works with a single mapped id', async () => {
    const box = await start({ single: true });
    const script = 'id -u; grep -E "CapEff|CapBnd" /proc/self/status; touch /tmp/x';
    const none = '0000000000000000';
    expect((await box.finish(['sh', '-c', script])).out).toBe(`0\nCapEff:\t${none}\nCapBnd:\t${none}\n`);
    expect((await box.finish(['id', '-u'], { id: 'sudo', sudo: true })).out).toBe('0\n');
    expect((await box.ask(request.mkdir, [10, '/tmp/a/b'])).type).toBe(answer.ok);
    expect((await box.finish(['escape'], { id: 'escape' })).out).not.toContain('YES');
  });
});

describe('the deadline', () => {
  it('kills everything and reports it', async () => {
    const box = await start({ deadlineMs: 1500 });
    const connection = await box.run(['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done']);
    expect(await connection.next()).toBeNull();
    await box.exited;
    expect(await readFile(join(box.dir, 'ended'), 'utf8')).toBe('deadline');
    expect(await exists(join(box.dir, 'c/one/exit'))).toBe(false);
  });

  it('moves later and earlier, and applies by the time of the answer', async () => {
    const box = await start({ deadlineMs: 60_000 });
    expect((await box.ask(request.deadline, [1, 600_000])).number(41)).toBeGreaterThan(590_000);
    expect((await box.ask(request.ping)).number(41)).toBeGreaterThan(590_000);
    const connection = await box.run(['sleep', '1000']);
    expect((await box.ask(request.deadline, [1, 200])).number(41)).toBeLessThanOrEqual(200);
    expect(await connection.next()).toBeNull();
    await box.exited;
    expect(await exists(join(box.dir, 'ended'))).toBe(true);
  });
});

describe('SHUTDOWN', () => {
  it('kills everything at once and reports no deadline', async () => {
    const box = await start();
    const command = await box.run(['sleep', '1000']);
    const connection = await box.connect();
    await connection.send(frame(request.shutdown));
    await connection.expect(answer.ok);
    expect(await connection.next()).toBeNull();
    expect(await command.next()).toBeNull();
    await box.exited;
    expect(await exists(join(box.dir, 'ended'))).toBe(false);
  });

  it('is refused on a connection that dropped its privileges', async () => {
    const box = await start();
    const connection = await box.connect();
    await connection.send(frame(request.stat, fields([10, '/tmp'])));
    await connection.expect(answer.stat);
    await connection.send(frame(request.shutdown));
    expect(errno(await connection.expect(answer.error))).toBe(1);
    expect((await box.ask(request.ping)).type).toBe(answer.ok);
  });
});

describe('a hostile sandbox', () => {
  it('loses its command, and all that the command started, when it kills the supervisor', async () => {
    const box = await start();
    const tree = 'for i in 1 2 3; do setsid sh -c "sleep 1000 & sleep 1000" & done; ';
    const script = `(${tree}) ; (sleep 0.1; kill -9 $PPID) & echo; sleep 1000`;
    const connection = await box.run(['sh', '-c', script], { sudo: true });
    await connection.expect(answer.output);
    expect(await connection.next()).toBeNull();
    expect(await exists(join(box.dir, 'c/one/exit'))).toBe(false);
    while ((await box.processes()) !== 0);
    await expect(box.attach('one')).rejects.toThrow(/ECONNREFUSED/);
  });

  it('cannot kill or stop PID 1, nor block a supervisor', async () => {
    const box = await start();
    const script =
      'for s in KILL TERM STOP INT SEGV; do kill -$s 1; done; kill -STOP $PPID; echo; sleep 0.2; exit 4';
    const connection = await box.run(['sh', '-c', script], { sudo: true });
    expect(outcome(await connection.expect(answer.exit, [answer.output])).code).toBe(4);
    expect((await box.ask(request.ping)).type).toBe(answer.ok);
  });

  it('is still killed and answered when fork fails', needs('root', isRoot), async () => {
    const box = await start();
    const connection = await box.run(['bomb'], { nproc: 64 });
    await printed(connection);
    expect((await box.ask(request.stat, [10, '/tmp'])).type).toBe(answer.stat);
    await connection.send(frame(request.kill, fields([15, 9])));
    await connection.expect(answer.ok, [answer.output, answer.exit]);
    expect(await box.processes()).toBe(0);
  });
});

describe('hostile frames', () => {
  const bad: [string, Buffer][] = [
    ['an unknown type', frame(99)],
    ['an answer', frame(answer.ok)],
    ['unexpected DATA', frame(answer.data, Buffer.from('x'))],
    ['an oversized body', Buffer.from([1, 0, 0x20, 0, request.run])],
    ['a length of 0xFFFFFFFF', Buffer.from([255, 255, 255, 255, request.ping])],
    ['an oversized DATA', Buffer.from([1, 0, 1, 0, answer.data])],
    ['a truncated field', frame(request.stat, fields([10, '/tmp']).subarray(0, -1))],
    ['a truncated field header', frame(request.stat, Buffer.from([10, 1, 0]))],
    ['a field longer than the body', frame(request.stat, Buffer.from([10, 255, 255, 255, 255, 47]))],
    ['an unknown tag', frame(request.stat, fields([10, '/tmp'], [11, 1]))],
    ['a repeated tag that may occur once', frame(request.stat, fields([10, '/tmp'], [10, '/tmp']))],
    ['a missing field', frame(request.stat)],
    ['a 4-byte number', frame(request.deadline, fields([1, Buffer.alloc(4)]))],
    ['a NUL in a path', frame(request.stat, fields([10, '/tmp\0/x']))],
    ['unexpected fields', frame(request.ping, fields([1, 1]))],
    ['RUN without a program', frame(request.run, fields([2, 'x'], [5, '/']))],
  ];

  it('end the connection with EPROTO and affect nothing else', async () => {
    const box = await start();
    for (const [name, bytes] of bad) {
      const connection = await box.connect();
      await connection.send(bytes);
      expect([name, errno(await connection.expect(answer.error))]).toEqual([name, 71]);
      expect(await connection.next(), name).toBeNull();
      connection.close();
    }
    const command = await box.run(['sleep', '1000']);
    for (const bytes of [
      frame(request.ping),
      frame(99),
      frame(request.kill),
      frame(request.attach, Buffer.alloc(65)),
    ]) {
      const connection = await box.attach('one');
      await connection.send(bytes);
      expect(errno(await connection.expect(answer.error))).toBe(71);
      expect(await connection.next()).toBeNull();
      connection.close();
    }
    for (const argv of [['']]) {
      const connection = await box.connect();
      await connection.send(runFrame(argv, { id: 'empty' }));
      expect(errno(await connection.expect(answer.error))).toBe(22);
    }
    command.close();
    expect((await box.ask(request.ping)).type).toBe(answer.ok);
  });

  it('may arrive arbitrarily slowly', async () => {
    const box = await start();
    const connection = await box.connect();
    const ping = frame(request.ping);
    await connection.send(ping.subarray(0, 2));
    await delay(11_000);
    await connection.send(ping.subarray(2));
    expect((await connection.expect(answer.ok)).number(40)).toBe(1);
    connection.close();
  });

  it('may continue after the answer that ends the connection, and be read late', async () => {
    const box = await start();
    const connection = await box.connect();
    connection.pause();
    await connection.send(frame(99));
    await delay(1_500);
    // Otherwise the connection would be reset, and the response lost.
    await connection.send(Buffer.alloc(65_536));
    connection.resume();
    expect(errno(await connection.expect(answer.error))).toBe(71);
    connection.close();
  });
});

describe('CONNECT', () => {
  it('relays in both directions and forwards half-closes', async () => {
    const box = await start();
    for (const [port, family] of [
      ['4000', []],
      ['4001', ['six']],
    ] as const) {
      const server = await box.run(['echo-server', port, ...family], { id: `server-${port}` });
      await server.expect(answer.output);
      const connection = await box.connect();
      await connection.send(frame(request.connect, fields([14, Number(port)])));
      await connection.expect(answer.ok);
      const content = Buffer.alloc(1_500_000, 'abcdefg');
      await connection.send(content);
      connection.halfClose();
      const got = await connection.rest();
      expect(got.toString() === content.toString().toUpperCase()).toBe(true);
      connection.close();
    }
  });

  it('reports the reason when nothing listens', async () => {
    const box = await start();
    expect(errno(await box.ask(request.connect, [14, 4000]))).toBe(111);
    expect(errno(await box.ask(request.connect, [14, 0]))).toBe(22);
    expect(errno(await box.ask(request.connect, [14, 65_536]))).toBe(22);
  });

  it('ends with its client', async () => {
    const box = await start();
    const server = await box.run(['echo-server', '4000']);
    await server.expect(answer.output);
    const connection = await box.connect();
    await connection.send(frame(request.connect, fields([14, 4000])));
    await connection.expect(answer.ok);
    connection.close();
    // The server's supervisor and the server.
    while ((await box.processes()) !== 2);
  });
});

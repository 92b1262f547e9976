import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { AgentSandbox, exists, isRoot, outcome } from './support/agent-sandbox.ts';
import { kill } from './support/kill.ts';
import { answer, type Connection, fields, frame, request } from './support/protocol.ts';

let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

async function printed(connection: Connection, bytes: number): Promise<void> {
  while ((await connection.expect(answer.output)).number(54) < bytes);
}

describe('KILL', () => {
  it('leaves nothing of a tree five levels deep with setsid and double forks, 20 times out of 20', async () => {
    // 1 + 3 + 9 + 27 + 81 processes, each of which prints one byte.
    for (let i = 0; i < 20; i++) {
      const connection = await sandbox.run(['tree', '4'], { id: `tree-${i}` });
      await printed(connection, 121);
      expect(await kill(connection, 9)).toBeGreaterThanOrEqual(121);
      connection.close();
      expect(await sandbox.programs()).toBe(0);
    }
  });

  it('kills a fork bomb of 256 processes', needs('root', isRoot), async () => {
    for (let i = 0; i < 5; i++) {
      const connection = await sandbox.run(['bomb'], { id: `bomb-${i}`, nproc: 256 });
      await printed(connection, 600);
      await kill(connection, 9);
      connection.close();
      expect(await sandbox.programs()).toBe(0);
    }
  });

  it('finds a process whose main thread has exited', async () => {
    const connection = await sandbox.run(['thread-leader'], { id: 'leader' });
    await printed(connection, 1);
    await kill(connection, 9);
    connection.close();
    expect(await sandbox.programs()).toBe(0);
  });

  it('sends other signals to every descendant and records the requester', async () => {
    // The first ends with the status of the second, which the signal must therefore have reached.
    const second = 'sh -c \'trap "exit 5" TERM; echo; while :; do sleep 0.01; done\'';
    const script = `${second} & trap 'wait $!; exit $?' TERM; echo; wait`;
    const connection = await sandbox.run(['sh', '-c', script], { id: 'term' });
    await printed(connection, 2);
    await connection.send(frame(request.kill, fields([15, 15], [16, 3])));
    const exit = outcome(await connection.expect(answer.exit, [answer.output, answer.ok]));
    expect(exit).toMatchObject({ code: 5, signal: 0, cause: 3 });
    connection.close();
  });

  it('records the first of two causes, and none for a signal that kills nothing', async () => {
    const connection = await sandbox.run(['sh', '-c', 'trap "" TERM; echo; sleep 100'], { id: 'causes' });
    await printed(connection, 1);
    await kill(connection, 15, 2);
    await connection.send(frame(request.kill, fields([15, 9], [16, 1])));
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    expect(exit).toMatchObject({ code: 137, signal: 9, cause: 2 });
    connection.close();
    const cont = await sandbox.run(['sh', '-c', 'trap "exit 4" CONT; echo; while :; do sleep 0.01; done'], {
      id: 'cont',
    });
    await printed(cont, 1);
    await cont.send(frame(request.kill, fields([15, 18])));
    expect(outcome(await cont.expect(answer.exit, [answer.ok]))).toMatchObject({ code: 4, cause: 0 });
    cont.close();
  });

  it('does not attribute an exit to a request whose grace period has passed', async () => {
    const script = 'trap "echo" TERM; echo; while ! [ -e /tmp/go ]; do sleep 0.01; done; exit 6';
    const connection = await sandbox.run(['sh', '-c', script], { id: 'late', graceMs: 1 });
    await printed(connection, 1);
    await kill(connection, 15);
    await sandbox.finish(['sleep', '0.05'], { id: 'late-wait' });
    await sandbox.finish(['touch', '/tmp/go'], { id: 'late-go' });
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    expect(exit).toMatchObject({ code: 6, cause: 0 });
    connection.close();
  });

  it('kills what a finished command left running', async () => {
    const connection = await sandbox.run(['sh', '-c', 'setsid sleep 1000 & setsid sleep 1000 & exit 0'], {
      id: 'left',
    });
    await connection.expect(answer.exit, [answer.output]);
    const other = await sandbox.attach('left');
    await kill(other, 9);
    expect(await other.next()).toBeNull();
    expect(await sandbox.programs()).toBe(0);
    other.close();
    connection.close();
  });

  it('reports when the command itself exited, even while its descendants still run', async () => {
    const started = performance.now();
    const connection = await sandbox.run(['held'], { id: 'held' });
    await printed(connection, 8);
    const pid = (await sandbox.log('held')).out.toString().trim();
    const holder = await sandbox.run(['held', pid], { id: 'holder' });
    await printed(holder, 1);
    await connection.send(frame(request.kill, fields([15, 9], [16, 1])));
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    // Reported two seconds after the kill, since its child is held.
    expect(exit.durationMs).toBeLessThan(performance.now() - started - 1_000);
    await kill(holder, 9);
    expect((await connection.expect(answer.ok)).number(44)).toBe(2);
    for (const done of [connection, holder]) done.close();
    expect(await sandbox.programs()).toBe(0);
  });

  it('rejects unknown signals and causes', async () => {
    const connection = await sandbox.run(['sleep', '1000'], { id: 'refuse' });
    for (const [signal, cause] of [
      [0, 1],
      [65, 1],
      [15, 0],
      [15, 4],
    ] as const) {
      await connection.send(frame(request.kill, fields([15, signal], [16, cause])));
      expect((await connection.expect(answer.error)).number(50)).toBe(22);
    }
    await kill(connection, 9);
    connection.close();
  });
});

describe('timeout_ms', () => {
  it('kills a program that ignores SIGTERM after the grace period', async () => {
    const script = 'trap "" TERM; echo; while :; do sleep 0.01; done';
    // Enough time to install its handler, on any machine.
    const patient = await sandbox.run(['sh', '-c', script], {
      id: 'patient',
      timeoutMs: 4000,
      graceMs: 600_000,
    });
    const connection = await sandbox.run(['sh', '-c', script], { id: 'deaf', timeoutMs: 4000, graceMs: 150 });
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    expect(exit).toMatchObject({ code: 137, signal: 9, cause: 4 });
    expect(exit.durationMs).toBeGreaterThanOrEqual(4150);
    // By the grace period of its own timeout.
    expect(await exists(join(sandbox.dir, 'c/patient/exit'))).toBe(false);
    expect(await kill(patient, 9)).toBeGreaterThan(0);
    patient.close();
    connection.close();
    expect(await sandbox.programs()).toBe(0);
  });

  it('lets a program that obeys exit, and kills one that does not', async () => {
    const script = '(trap "" TERM; setsid sleep 1000) & trap "exit 9" TERM; while :; do sleep 0.01; done';
    const connection = await sandbox.run(['sh', '-c', script], {
      id: 'obeys',
      timeoutMs: 4000,
      graceMs: 200,
    });
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    expect(exit).toMatchObject({ code: 9, signal: 0, cause: 4 });
    expect(await connection.next()).toBeNull();
    connection.close();
  });

  it('does not touch what a finished command left', async () => {
    const connection = await sandbox.run(['sh', '-c', 'sleep 1000 & exit 0'], {
      id: 'keeps',
      timeoutMs: 4000,
      graceMs: 1,
    });
    expect(outcome(await connection.expect(answer.exit)).cause).toBe(0);
    await sandbox.finish(['sleep', '1.6'], { id: 'keeps-wait' });
    expect(await kill(connection, 9)).toBe(1);
    connection.close();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentSandbox, outcome } from './support/agent-sandbox.ts';
import { kill } from './support/kill.ts';
import { answer, type Connection, frame, request } from './support/protocol.ts';

let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

describe('captured output', () => {
  it('keeps every byte of both streams while they fit', async () => {
    const script = 'head -c 3000000 /dev/zero | tr "\\0" a; head -c 2000001 /dev/zero | tr "\\0" b >&2';
    const got = await sandbox.finish(['sh', '-c', script], { id: 'all' });
    expect([got.stdout, got.stderr]).toEqual([3_000_000, 2_000_001]);
    expect(got.out === 'a'.repeat(3_000_000)).toBe(true);
    expect(got.err === 'b'.repeat(2_000_001)).toBe(true);
  });

  it('keeps the first 8 and the last 24 segments of a flood and reports exactly what was dropped', async () => {
    const lines = 9_000_000;
    const got = await sandbox.finish(['seq', '-f', '%07.0f', '1', String(lines)], { id: 'flood' });
    expect(got.stdout).toBe(lines * 8);
    const segments = await sandbox.segments('flood');
    expect(segments.length).toBe(32);
    const last = segments.at(-1)?.index ?? 0;
    expect(segments.map((segment) => segment.index)).toEqual([
      ...Array.from({ length: 8 }, (_, i) => i),
      ...Array.from({ length: 24 }, (_, i) => last - 23 + i),
    ]);
    for (const segment of segments) {
      const data = Buffer.concat(segment.records.map((record) => record.data));
      const next = segments.find((other) => other.index === segment.index + 1);
      const end = next === undefined && segment.index === last ? got.stdout : next?.before.stdout;
      if (end !== undefined) expect(segment.before.stdout + data.length).toBe(end);
      // Each 8-byte line contains its own offset, so the content shows whether an offset is right.
      const start = Math.ceil(segment.before.stdout / 8) * 8;
      const line = data.subarray(start - segment.before.stdout, start - segment.before.stdout + 8).toString();
      expect(line).toBe(`${String(start / 8 + 1).padStart(7, '0')}\n`);
      expect(segment.before.stdoutLines).toBe(Math.floor(segment.before.stdout / 8));
      expect(segment.before.stderrLines).toBe(0);
    }
  });

  it('reports growth at most every 50 ms and only while it grows', async () => {
    const connection = await sandbox.run(
      ['sh', '-c', 'i=0; while [ $i -lt 3000 ]; do echo x; i=$((i+1)); done'],
      {
        id: 'events',
      },
    );
    let events = 0;
    let before = 0;
    for (;;) {
      const got = await connection.next();
      if (got === null) throw new Error('no exit');
      if (got.type === answer.exit) {
        expect(outcome(got).stdout).toBe(6000);
        expect(events).toBeLessThanOrEqual(outcome(got).durationMs / 50 + 2);
        break;
      }
      expect(got.number(54)).toBeGreaterThan(before);
      before = got.number(54);
      events += 1;
    }
    connection.close();
  });

  it('continues without a listener and with a listener that does not read', async () => {
    const script = 'head -c 200000000 /dev/zero; read x < /tmp/fifo; echo done';
    await sandbox.finish(['mkfifo', '-m', '666', '/tmp/fifo'], { id: 'fifo' });
    const starter = await sandbox.run(['sh', '-c', script], { id: 'deaf' });
    starter.close();
    const deaf = await sandbox.attach('deaf');
    await deaf.send(frame(request.attach));
    deaf.pause();
    const listener = await sandbox.attach('deaf');
    await listener.send(frame(request.attach));
    await grownTo(listener, 200_000_000);
    await sandbox.finish(['sh', '-c', 'echo > /tmp/fifo'], { id: 'open-fifo' });
    expect(outcome(await listener.expect(answer.exit, [answer.output])).stdout).toBe(200_000_005);
    deaf.resume();
    expect(outcome(await deaf.expect(answer.exit, [answer.output])).stdout).toBe(200_000_005);
    deaf.close();
    listener.close();
  });

  it('finishes with the first process, while its descendants hold the pipes and are still captured', async () => {
    const script = '(trap "" HUP; while :; do echo late; sleep 0.01; done) & echo first';
    const connection = await sandbox.run(['sh', '-c', script], { id: 'left' });
    const exit = outcome(await connection.expect(answer.exit, [answer.output]));
    expect(exit).toMatchObject({ code: 0, cause: 0 });
    expect(exit.stdout).toBeGreaterThanOrEqual(6);
    while ((await sandbox.log('left')).out.length <= exit.stdout + 50);
    expect(await kill(connection, 9)).toBeGreaterThan(0);
    expect(await connection.next()).toBeNull();
    connection.close();
  });
});

async function grownTo(connection: Connection, bytes: number): Promise<void> {
  while ((await connection.expect(answer.output)).number(54) < bytes);
}

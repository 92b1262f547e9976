import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { AgentSandbox, isRoot } from './support/agent-sandbox.ts';
import {
  answer,
  type Connection,
  errno,
  type Field,
  type Frame,
  fields,
  frame,
  request,
} from './support/protocol.ts';

let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

function shellFrame(argv: string[], more: Field[] = []): Buffer {
  const list = argv.map((text): Field => [3, text]);
  list.push([4, 'PATH=/usr/bin:/bin:/fixtures'], [5, '/tmp'], [17, 80], [18, 24], ...more);
  return frame(request.shell, fields(...list));
}

async function open(argv: string[]): Promise<Connection> {
  const connection = await sandbox.connect();
  await connection.send(shellFrame(argv));
  await connection.expect(answer.started);
  return connection;
}

/** Output up to and including `text`. */
async function until(connection: Connection, text: string): Promise<string> {
  let all = '';
  while (!all.includes(text)) all += (await connection.expect(answer.data)).body.toString();
  return all;
}

/** All output, and the exit. */
async function rest(connection: Connection): Promise<{ out: string; exit: Frame }> {
  let out = '';
  for (;;) {
    const got = await connection.next();
    if (got === null) throw new Error('ended without EXIT');
    if (got.type === answer.exit) return { out, exit: got };
    out += got.body.toString();
  }
}

const type = (text: string) => frame(answer.data, Buffer.from(text));
const resize = (cols: number, rows: number) => frame(request.resize, fields([17, cols], [18, rows]));

describe('SHELL', () => {
  it('has pipes in place of a terminal for a program with an input', async () => {
    const connection = await sandbox.connect();
    const script =
      'test -t 0 || test -t 1 || test -t 2; echo $?; echo lost >&2; cat; head -c 1000000 /dev/zero; exit 3';
    const argv = ['sh', '-c', script].map((text): Field => [3, text]);
    const variables: Field = [4, 'PATH=/usr/bin:/bin'];
    await connection.send(frame(request.shell, fields(...argv, variables, [5, '/tmp'], [24, 'typed\n'])));
    await connection.expect(answer.started);
    await connection.send(Buffer.concat([type('ignored'), resize(1, 1)]));
    const { out, exit } = await rest(connection);
    expect(out.slice(0, 8)).toBe('1\ntyped\n');
    expect(out).toHaveLength(1_000_008);
    expect(exit.number(70)).toBe(3);
    connection.close();
  });

  it('gives a program a controlling terminal of its own', async () => {
    const script = 'test -t 0 && test -t 1 && test -t 2 && echo here > /dev/tty; tty; stty size; id -u';
    const connection = await open(['sh', '-c', script]);
    const { out, exit } = await rest(connection);
    expect(out).toBe(`here\r\n/dev/pts/0\r\n24 80\r\n${sandbox.uid}\r\n`);
    expect([exit.number(70), exit.number(71)]).toEqual([0, 0]);
    connection.close();
  });

  it('forwards input, and a resize with its signal', async () => {
    const script =
      'trap "stty size" WINCH; stty -echo; echo ready; read word; echo "<$word>"; while :; do sleep 1000 & wait; done';
    const connection = await open(['bash', '-c', script]);
    await until(connection, 'ready');
    await connection.send(type('typed\n'));
    await until(connection, '<typed>');
    await connection.send(resize(132, 43));
    await until(connection, '43 132');
    connection.halfClose();
    while ((await connection.next()) !== null);
  });

  it('delivers all output written before the end', async () => {
    const connection = await open(['sh', '-c', 'head -c 300000 /dev/zero | tr "\\0" x; exit 9']);
    const { out, exit } = await rest(connection);
    expect([out.length, exit.number(70)]).toEqual([300_000, 9]);
    connection.close();
  });

  it('blocks a program whose output nobody reads, and survives', async () => {
    const connection = await open([
      'sh',
      '-c',
      'yes | head -c 1000000 | md5sum; yes | head -c 1000000; echo; echo over',
    ]);
    connection.pause();
    expect((await sandbox.ask(request.ping)).type).toBe(answer.ok);
    connection.resume();
    await until(connection, 'over');
    connection.close();
  });

  it('leaves no process when the connection closes, even one that changed its session', async () => {
    const connection = await open(['tree', '4']);
    let seen = 0;
    while (seen < 121) seen += (await connection.expect(answer.data)).body.length;
    connection.halfClose();
    const { exit } = await rest(connection);
    expect(exit.number(71)).toBe(1);
    // The connection ends when nothing is left.
    expect(await connection.next()).toBeNull();
    expect(await sandbox.programs()).toBe(0);
  });

  it('kills a fork bomb', needs('root', isRoot), async () => {
    const connection = await sandbox.connect();
    await connection.send(shellFrame(['bomb'], [[9, 256]]));
    await connection.expect(answer.started);
    for (let seen = 0; seen < 600; ) seen += (await connection.expect(answer.data)).body.length;
    connection.halfClose();
    while ((await connection.next()) !== null);
    expect(await sandbox.programs()).toBe(0);
  });

  it('kills what a program left running once the client disconnects', async () => {
    const connection = await open(['sh', '-c', 'trap "" HUP; sleep 1000 & echo left']);
    expect((await rest(connection)).out).toBe('left\r\n');
    connection.halfClose();
    expect(await connection.next()).toBeNull();
    expect(await sandbox.programs()).toBe(0);
  });

  it('rejects frames that are not for terminals', async () => {
    for (const bad of [
      frame(request.ping),
      resize(0, 1),
      frame(request.resize),
      Buffer.from('ffffffff47', 'hex'),
    ]) {
      const connection = await open(['sleep', '1000']);
      await connection.send(bad);
      expect(errno((await connection.next()) ?? frame0())).toBe(71);
      while ((await connection.next()) !== null);
      expect(await sandbox.programs()).toBe(0);
    }
  });

  it('reports what is wrong with a request', async () => {
    const ask = async (bytes: Buffer): Promise<[number | null, string]> => {
      const connection = await sandbox.connect();
      await connection.send(bytes);
      const got = (await connection.next()) ?? frame0();
      connection.close();
      return [errno(got), got.text(51)];
    };
    const plain: Field[] = [
      [3, 'true'],
      [17, 80],
      [18, 24],
    ];
    expect(await ask(frame(request.shell, fields(...plain, [5, '/none'])))).toEqual([2, 'cwd']);
    expect(await ask(frame(request.shell, fields(...plain, [5, 'relative'])))).toEqual([22, 'cwd']);
    expect(await ask(frame(request.shell, fields([3, 'true'], [5, '/'], [17, 0], [18, 24])))).toEqual([
      22,
      'size',
    ]);
    expect(await ask(frame(request.shell, fields([5, '/'])))).toEqual([71, 'frame']);
  });

  it('is refused after a file request', async () => {
    const connection = await sandbox.connect();
    await connection.send(frame(request.stat, fields([10, '/tmp'])));
    await connection.expect(answer.stat);
    await connection.send(shellFrame(['true']));
    expect(errno((await connection.next()) ?? frame0())).toBe(1);
    connection.close();
  });
});

function frame0(): never {
  throw new Error('the connection ended without an answer');
}

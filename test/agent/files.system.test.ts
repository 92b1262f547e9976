import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentSandbox } from './support/agent-sandbox.ts';
import { answer, type Connection, errno, type Frame, fields, frame, request } from './support/protocol.ts';

const keepMode = 2n ** 64n - 1n;
let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

let count = 0;
async function shell(script: string): Promise<string> {
  count += 1;
  const got = await sandbox.finish(['sh', '-c', script], { id: `files-${count}` });
  expect(got.err).toBe('');
  return got.out;
}

async function write(
  path: string,
  content: Buffer | string,
  mode: bigint | number = keepMode,
): Promise<Frame> {
  const connection = await sandbox.connect();
  await connection.send(frame(request.write, fields([10, path], [13, mode])));
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length; at += 65_536) {
    await connection.send(frame(answer.data, bytes.subarray(at, at + 65_536)));
  }
  await connection.send(frame(answer.end));
  const got = await connection.next();
  connection.close();
  if (got === null) throw new Error('no answer');
  return got;
}

async function read(path: string, offset = 0, limit = 2 ** 40): Promise<Frame | Buffer> {
  const connection = await sandbox.connect();
  await connection.send(frame(request.read, fields([10, path], [11, offset], [12, limit])));
  const first = await connection.next();
  if (first?.type !== answer.stat) {
    if (first === null) throw new Error('no answer');
    connection.close();
    return first;
  }
  const parts: Buffer[] = [];
  for (let got = await data(connection); got !== null; got = await data(connection)) parts.push(got);
  connection.close();
  return Buffer.concat(parts);
}

async function data(connection: Connection): Promise<Buffer | null> {
  const got = await connection.next();
  if (got?.type === answer.data) return got.body;
  expect(got?.type).toBe(answer.end);
  return null;
}

describe('STAT and MKDIR', () => {
  it('report kind, size and mode, and follow links', async () => {
    await shell('cd /tmp; printf 12345 > f; chmod 640 f; ln -s f l; mkfifo p');
    const file = await sandbox.ask(request.stat, [10, '/tmp/l']);
    expect([file.text(56), file.number(57), file.number(58)]).toEqual(['f', 5, 0o640]);
    expect((await sandbox.ask(request.stat, [10, '/tmp'])).text(56)).toBe('d');
    expect((await sandbox.ask(request.stat, [10, '/tmp/p'])).text(56)).toBe('o');
    const missing = await sandbox.ask(request.stat, [10, '/tmp/none']);
    expect([missing.number(50), missing.text(51), missing.text(52)]).toEqual([2, 'stat', '/tmp/none']);
    expect(errno(await sandbox.ask(request.stat, [10, 'tmp']))).toBe(22);
    expect(errno(await sandbox.ask(request.stat, [10, `/${'x/'.repeat(3000)}`]))).toBe(36);
  });

  it('create parents, accept existing directories and name what is in the way', async () => {
    expect((await sandbox.ask(request.mkdir, [10, '/tmp/a/b/c'])).type).toBe(answer.ok);
    expect((await sandbox.ask(request.mkdir, [10, '/tmp/a/b/c/'])).type).toBe(answer.ok);
    expect((await sandbox.ask(request.mkdir, [10, '/usr'])).type).toBe(answer.ok);
    expect(await shell('stat -c "%u %a" /tmp/a/b')).toBe(`${sandbox.uid} 755\n`);
    await shell('touch /tmp/file');
    expect(errno(await sandbox.ask(request.mkdir, [10, '/tmp/file']))).toBe(17);
    expect(errno(await sandbox.ask(request.mkdir, [10, '/tmp/file/x']))).not.toBeNull();
  });
});

describe('READ', () => {
  it('returns a range', async () => {
    await shell('head -c 300000 /dev/zero | tr "\\0" a > /tmp/long; printf xyz >> /tmp/long');
    const all = await read('/tmp/long');
    expect(Buffer.isBuffer(all) && all.length).toBe(300_003);
    expect(String(await read('/tmp/long', 299_999, 3))).toBe('axy');
    expect(String(await read('/tmp/long', 400_000))).toBe('');
    expect(String(await read('/proc/self/status', 0, 5))).toBe('Name:');
  });

  it('never opens anything but regular files', async () => {
    await shell('mkfifo /tmp/never; ln -s never /tmp/to-never');
    for (const [path, error] of [
      ['/tmp/never', 22],
      ['/tmp/to-never', 22],
      ['/dev/null', 22],
      ['/tmp', 21],
    ] as const) {
      const got = await read(path);
      expect(!Buffer.isBuffer(got) && [got.number(50), got.text(51)], path).toEqual([error, 'not_regular']);
    }
  });

  it('reads as the sandbox user', async () => {
    if (sandbox.uid === 0) return;
    await sandbox.finish(['sh', '-c', 'echo s > /tmp/secret; chmod 600 /tmp/secret'], {
      id: 'secret',
      sudo: true,
    });
    const got = await read('/tmp/secret');
    expect(!Buffer.isBuffer(got) && errno(got)).toBe(13);
  });

  it('serves several requests per connection, but none that needs dropped privileges', async () => {
    const connection = await sandbox.connect();
    await connection.send(frame(request.ping));
    await connection.expect(answer.ok);
    for (let i = 0; i < 3; i++) {
      await connection.send(frame(request.stat, fields([10, '/tmp'])));
      await connection.expect(answer.stat);
    }
    await connection.send(frame(request.deadline, fields([1, 1_000_000])));
    expect(errno(await connection.expect(answer.error))).toBe(1);
    await connection.send(frame(request.run, fields([2, 'x'], [3, 'true'], [5, '/'])));
    expect(errno(await connection.expect(answer.error))).toBe(1);
    await connection.send(frame(request.ping));
    await connection.expect(answer.ok);
    connection.close();
  });
});

describe('WRITE', () => {
  it('writes a file with its parents and mode, and keeps the mode of an existing file', async () => {
    const content = Buffer.alloc(1_000_000, 'abc');
    expect((await write('/tmp/w/x/file', content)).type).toBe(answer.ok);
    expect(await shell('stat -c "%u %a %s" /tmp/w/x/file')).toBe(`${sandbox.uid} 644 1000000\n`);
    const got = await read('/tmp/w/x/file');
    expect(Buffer.isBuffer(got) && got.equals(content)).toBe(true);
    expect((await write('/tmp/w/x/file', 'b', 0o755)).type).toBe(answer.ok);
    expect((await write('/tmp/w/x/file', '')).type).toBe(answer.ok);
    expect(await shell('stat -c "%a %s" /tmp/w/x/file; ls -A /tmp/w/x')).toBe('755 0\nfile\n');
  });

  it('follows links to their target and refuses anything but regular files', async () => {
    await shell(
      'mkdir /tmp/v; cd /tmp/v; ln -s deep/target l; ln -s /tmp/v/l l2; mkdir deep; mkfifo p; ln -s loop loop',
    );
    expect((await write('/tmp/v/l2', 'there')).type).toBe(answer.ok);
    expect(await shell('cat /tmp/v/deep/target; ls -l /tmp/v/l | cut -c1')).toBe('therel\n');
    for (const [path, error] of [
      ['/tmp/v/deep', 21],
      ['/tmp/v/new/', 21],
      ['/tmp/v/p', 22],
      ['/tmp/v/loop', 40],
      ['/tmp/v/l/x', 17],
    ] as const) {
      expect([path, errno(await write(path, 'x'.repeat(200_000)))]).toEqual([path, error]);
    }
  });

  it('leaves nothing of a file whose connection is lost', async () => {
    await shell('mkdir /tmp/cut; echo old > /tmp/cut/file');
    const connection = await sandbox.connect();
    await connection.send(frame(request.write, fields([10, '/tmp/cut/file'])));
    await connection.send(frame(answer.data, Buffer.alloc(65_536)));
    while ((await shell('ls -A /tmp/cut')) === 'file\n');
    connection.close();
    while ((await shell('ls -A /tmp/cut')) !== 'file\n');
    expect(await shell('cat /tmp/cut/file')).toBe('old\n');
  });

  it('returns an error at once and reads the next request after END', async () => {
    const connection = await sandbox.connect();
    await connection.send(frame(request.write, fields([10, '/proc/none'])));
    expect((await connection.expect(answer.error)).text(52)).toBe('/proc/none');
    await connection.send(frame(answer.data, Buffer.alloc(1000)));
    await connection.send(frame(answer.end));
    await connection.send(frame(request.stat, fields([10, '/tmp'])));
    await connection.expect(answer.stat);
    connection.close();
  });
});

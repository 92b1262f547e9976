import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentSandbox } from './support/agent-sandbox.ts';
import {
  answer,
  type Connection,
  errno,
  type Field,
  Frame,
  fields,
  frame,
  request,
} from './support/protocol.ts';

let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

let count = 0;
async function shell(script: string): Promise<string> {
  count += 1;
  const got = await sandbox.finish(['sh', '-c', script], { id: `tree-${count}` });
  expect(got.err).toBe('');
  return got.out;
}

interface Entry {
  path: string;
  kind: string;
  mode: number;
  link?: string;
  content?: string;
}

async function readTree(path: string): Promise<Entry[] | Frame> {
  const connection = await sandbox.connect();
  await connection.send(frame(request.treeRead, fields([10, path])));
  const entries: Entry[] = [];
  for (;;) {
    const got = await connection.next();
    if (got === null) throw new Error('cut');
    if (got.type === answer.end || got.type === answer.error) {
      connection.close();
      return got.type === answer.end ? entries.sort((a, b) => (a.path < b.path ? -1 : 1)) : got;
    }
    const last = entries.at(-1);
    if (got.type === answer.data && last !== undefined) {
      last.content = (last.content ?? '') + got.body.toString();
      continue;
    }
    expect(got.type).toBe(answer.entry);
    const link = got.bytes(61);
    const kind = got.text(56);
    const entry = { path: got.text(60), kind, mode: kind === 's' ? 0 : got.number(58) };
    entries.push(link === null ? entry : { ...entry, link: link.toString() });
  }
}

/** Path, kind, size and whether it has changed just now, of each entry of a list without contents. */
async function listTree(path: string): Promise<unknown[]> {
  const connection = await sandbox.connect();
  await connection.send(frame(request.treeRead, fields([10, path], [21, 1])));
  const entries: [string, string, number, boolean][] = [];
  for (;;) {
    const got = await connection.next();
    if (got?.type !== answer.entry) {
      connection.close();
      expect(got?.type).toBe(answer.end);
      return entries.sort(([a], [b]) => (a < b ? -1 : 1));
    }
    // What is left out has no details.
    if (got.text(56) === 's') continue;
    const size = got.text(56) === 'd' ? 0 : got.number(57);
    const isRecent = Math.abs(got.number(62) / 1_000 - Date.now()) < 600_000;
    entries.push([got.text(60), got.text(56), size, isRecent]);
  }
}

async function sendEntries(connection: Connection, entries: Entry[]): Promise<void> {
  for (const entry of entries) {
    const list: Field[] = [
      [60, entry.path],
      [56, entry.kind],
      [58, entry.mode],
    ];
    if (entry.link !== undefined) list.push([61, entry.link]);
    await connection.send(frame(answer.entry, fields(...list)));
    const content = Buffer.from(entry.content ?? '');
    for (let at = 0; at < content.length; at += 65_536) {
      await connection.send(frame(answer.data, content.subarray(at, at + 65_536)));
    }
  }
}

async function writeTree(path: string, entries: Entry[]): Promise<Frame> {
  const connection = await sandbox.connect();
  await connection.send(frame(request.treeWrite, fields([10, path])));
  await sendEntries(connection, entries);
  await connection.send(frame(answer.end));
  const got = await connection.next();
  connection.close();
  if (got === null) throw new Error('cut');
  return got;
}

const sample: Entry[] = [
  { path: '', kind: 'd', mode: 0o755 },
  { path: 'a', kind: 'd', mode: 0o555 },
  { path: 'a/b', kind: 'd', mode: 0o500 },
  { path: 'a/b/run', kind: 'f', mode: 0o755, content: '#!/bin/sh\n' },
  { path: 'empty', kind: 'f', mode: 0o400 },
  { path: 'link', kind: 'l', mode: 0o777, link: '../anywhere/at all' },
  { path: 'ünï', kind: 'f', mode: 0o644, content: 'x'.repeat(70_000) },
];

describe('trees', () => {
  it('are written and read unchanged', async () => {
    const got = await writeTree('/tmp/new/tree', sample);
    expect([got.type, got.number(42), got.number(43)]).toEqual([answer.ok, 3, 70_010]);
    expect(await readTree('/tmp/new/tree')).toEqual(sample);
    expect(await listTree('/tmp/new/tree')).toEqual(
      sample.map(({ path, kind, content = '', link = '' }) => [
        path,
        kind,
        content.length + link.length,
        true,
      ]),
    );
    expect(await shell('ls -A /tmp/new')).toBe('tree\n');
  });

  it('have any number of read-only directories', async () => {
    const many = Array.from({ length: 1_500 }, (_, at) => `a/${'long name '.repeat(6)}${at}`);
    const directories = ['', 'a', ...many].map((path) => ({ path, kind: 'd', mode: 0o555 }));
    expect((await writeTree('/tmp/many', directories)).type).toBe(answer.ok);
    const counted = 'find /tmp/many -type d -perm 555 | wc -l; chmod -R u+w /tmp/many; rm -r /tmp/many';
    expect(await shell(counted)).toBe('1502\n');
  });

  it('are listed without what is mounted in them', async () => {
    const listed = (await listTree('/')).map((entry) => String(entry).split(',')[0] ?? '');
    expect(listed).toEqual(expect.arrayContaining(['', 'etc', 'etc/passwd', 'tmp', 'vercel/sandbox']));
    expect(listed.filter((path) => /^(usr|proc|dev|fixtures)\b/.test(path))).toEqual([]);
  });

  it('merge with an existing directory', async () => {
    await shell(
      'mkdir -p /tmp/m/a /tmp/m/keep; chmod 711 /tmp/m/a; echo old > /tmp/m/empty; echo k > /tmp/m/keep/k',
    );
    const got = await writeTree('/tmp/m/', sample);
    expect(got.type).toBe(answer.ok);
    expect(await shell('cd /tmp/m; find . | sort; stat -c %a a a/b; cat empty')).toBe(
      `${'./a\n./a/b\n./a/b/run\n./empty\n./keep\n./keep/k\n./link\n./ünï\n'.replace(/^/, '.\n')}711\n500\n`,
    );
  });

  it('change nothing when a directory would replace a file', async () => {
    await shell('mkdir -p /tmp/n/empty; touch /tmp/n/other; mkdir -p /tmp/o; touch /tmp/o/a /tmp/file');
    expect(errno(await writeTree('/tmp/n', sample))).toBe(21);
    expect(errno(await writeTree('/tmp/o', sample))).toBe(20);
    expect(errno(await writeTree('/tmp/file', sample))).toBe(20);
    expect(errno(await writeTree('/tmp/n', [{ path: '', kind: 'f', mode: 0o644 }]))).toBe(21);
    expect(await shell('ls -A /tmp/n /tmp/o')).toBe('/tmp/n:\nempty\nother\n\n/tmp/o:\na\n');
  });

  it('may be a single file or link', async () => {
    expect(
      (await writeTree('/tmp/single', [{ path: '', kind: 'f', mode: 0o600, content: 'one' }])).type,
    ).toBe(64);
    expect(await readTree('/tmp/single')).toEqual([{ path: '', kind: 'f', mode: 0o600, content: 'one' }]);
    await shell('ln -s single /tmp/to-single; ln -s new/tree /tmp/to-tree');
    expect(await readTree('/tmp/to-single')).toEqual([{ path: '', kind: 'f', mode: 0o600, content: 'one' }]);
    expect(await readTree('/tmp/to-tree')).toEqual(sample);
  });

  it('never escape their staging directory', async () => {
    const root = { path: '', kind: 'd', mode: 0o755 };
    for (const path of ['..', '../x', 'a/../../x', '/abs', 'a//b', './a', 'a/', `${'x/'.repeat(201)}x`]) {
      expect([path, errno(await writeTree('/tmp/out', [root, { path, kind: 'f', mode: 0o644 }]))]).toEqual([
        path,
        22,
      ]);
    }
    const through = [
      root,
      { path: 'l', kind: 'l', mode: 0o777, link: '/tmp' },
      { path: 'l/x', kind: 'f', mode: 0o644 },
    ];
    expect([20, 40]).toContain(errno(await writeTree('/tmp/out', through)));
    expect(errno(await writeTree('/tmp/out', [{ path: 'x', kind: 'f', mode: 0o644 }]))).toBe(22);
    expect(errno(await writeTree('/tmp/out', []))).toBe(22);
    expect(errno(await writeTree('/tmp/out', [root, root]))).toBe(17);
    expect(await shell('ls -A /tmp | grep -e ^out -e ^x -e sandbox- || true')).toBe('');
  });

  it('leave nothing when the connection is lost', async () => {
    await shell('mkdir /tmp/cut');
    const connection = await sandbox.connect();
    await connection.send(frame(request.treeWrite, fields([10, '/tmp/cut'])));
    await sendEntries(connection, sample);
    while ((await shell('find /tmp/cut -name "ünï"')) === '');
    connection.close();
    while ((await shell('ls -A /tmp/cut')) !== '');
  });

  it('report fifos and unreadable entries and continue, and report a missing root', async () => {
    await shell('mkdir -p /tmp/q/sub; mkfifo /tmp/q/p; touch /tmp/q/f');
    const got = await readTree('/tmp/q');
    expect(Array.isArray(got) && got.map(({ path, kind }) => `${kind} ${path}`)).toEqual([
      'd ',
      'f f',
      's p',
      'd sub',
    ]);
    const missing = await readTree('/tmp/none');
    expect(missing instanceof Frame && errno(missing)).toBe(2);
    const fifo = await readTree('/tmp/q/p');
    expect(fifo instanceof Frame && [errno(fifo), fifo.text(51)]).toEqual([22, 'not_regular']);
    await shell('chmod 000 /tmp/q/sub');
    const denied = await readTree('/tmp/q');
    if (sandbox.uid !== 0)
      expect(Array.isArray(denied) && denied.map(({ path, kind }) => `${kind} ${path}`)).toContain('s sub');
  });
});

/** Starts the real agent as PID 1 of new namespaces, for tests. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, constants, openSync, watch, writeFileSync } from 'node:fs';
import { access, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { answer, Connection, type Field, type Frame, fields, frame, request } from './protocol.ts';

const BUILT = fileURLToPath(new URL(`../../../dist/agent-${process.arch}`, import.meta.url));
const cache = fileURLToPath(new URL('../../../node_modules/.cache/agent-tests/', import.meta.url));
const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** Only root can map the range that gives the sandbox a separate ordinary user. */
export const isRoot = process.getuid?.() === 0;

let built: Promise<string> | null = null;

/** The built agent and the C fixtures, which are compiled if a source is newer. */
export function programs(): Promise<string> {
  built ??= compile();
  return built;
}

async function compile(): Promise<string> {
  await mkdir(cache, { recursive: true });
  const agent = join(cache, `agent.${process.pid}.new`);
  await copyFile(BUILT, agent);
  await rename(agent, join(cache, 'agent'));
  const sources = (await readdir(fixtures)).filter((name) => name.endsWith('.c'));
  const run = promisify(execFile);
  for (const name of sources) {
    const outFile = join(cache, name.slice(0, -2));
    if ((await modifiedAt(outFile)) >= (await modifiedAt(join(fixtures, name)))) continue;
    // Test files run in parallel, so none may see a partially written program.
    const partial = `${outFile}.${process.pid}.new`;
    await run('cc', ['-O1', '-Wall', '-pthread', '-o', partial, join(fixtures, name)]);
    await rename(partial, outFile);
  }
  return cache;
}

async function modifiedAt(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.mtimeMs,
    () => 0,
  );
}

export interface RunOptions {
  id?: string;
  cwd?: string;
  env?: string[];
  sudo?: boolean;
  timeoutMs?: number;
  graceMs?: number;
  nproc?: number;
}

export function runFrame(argv: string[], options: RunOptions = {}): Buffer {
  const list: Field[] = [[2, options.id ?? 'one'], ...argv.map((text): Field => [3, text])];
  for (const text of options.env ?? ['PATH=/usr/bin:/bin:/usr/sbin:/fixtures']) list.push([4, text]);
  list.push([5, options.cwd ?? '/tmp'], [6, options.sudo === true ? 1 : 0], [7, options.timeoutMs ?? 0]);
  list.push([8, options.graceMs ?? 5000], [9, options.nproc ?? 0]);
  return frame(request.run, fields(...list));
}

export class AgentSandbox {
  private constructor(
    readonly dir: string,
    readonly uid: number,
    readonly stderr: () => string,
    readonly exited: Promise<number | null>,
    readonly process: ChildProcess,
    readonly base: string,
  ) {}

  static async start(
    options: { deadlineMs?: number; single?: boolean; owner?: boolean; cpus?: number } = {},
  ): Promise<AgentSandbox> {
    const folder = await programs();
    const base = await mkdtemp(join(tmpdir(), 'agent-test-'));
    const dir = join(base, 'agent');
    await mkdir(dir);
    await mkdir(join(base, 'root'));
    const single = options.single ?? !isRoot;
    const uid = single ? 0 : 1000;
    const dirFd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
    // The shell waits for the id mapping, which only its parent can write.
    const enter = [`${fixtures}enter.sh`, join(base, 'root'), join(folder, 'agent')];
    const inner = ['--mount', '--pid', '--net', '--fork', '--kill-child', 'sh', ...enter];
    const child = spawn(
      'unshare',
      ['--user', 'sh', '-c', 'echo ready; read go; exec unshare "$@"', 'sh', ...inner].concat([
        String(options.deadlineMs ?? 600_000),
        String(uid),
        String(uid),
        ...(options.owner ? ['owner'] : []),
        ...(options.cpus === undefined ? [] : [`cpus=${options.cpus}`]),
      ]),
      { stdio: ['pipe', 'pipe', 'pipe', dirFd, options.owner ? 'pipe' : 'ignore'] },
    );
    closeSync(dirFd);
    let stderr = '';
    child.stderr?.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    const exited = new Promise<number | null>((resolve) => {
      child.once('exit', (code) => resolve(code));
    });
    await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
    mapIds(child.pid ?? 0, single);
    child.stdin?.write('go\n');
    const sandbox = new AgentSandbox(dir, uid, () => stderr, exited, child, base);
    await Promise.race([
      sandbox.appears('socket'),
      exited.then((code) => {
        throw new Error(`the agent did not start (${code}): ${stderr}`);
      }),
    ]);
    return sandbox;
  }

  /** Resolves when a file of the agent directory exists. */
  async appears(name: string): Promise<void> {
    const path = join(this.dir, name);
    const watcher = watch(join(path, '..'));
    try {
      for (;;) {
        const changed = new Promise((resolve) => watcher.once('change', resolve));
        if (await exists(path)) return;
        await changed;
      }
    } finally {
      watcher.close();
    }
  }

  /** This test's end of the connection that owns the sandbox. */
  get owner(): Socket {
    const socket = this.process.stdio[4];
    if (!(socket instanceof Socket)) throw new Error('started without an owner');
    return socket;
  }

  /** Becomes a further owner. */
  async own(): Promise<Connection> {
    const connection = await Connection.open(join(this.dir, 'owners'));
    await connection.expect(answer.ok);
    return connection;
  }

  connect(): Promise<Connection> {
    return Connection.open(join(this.dir, 'socket'));
  }

  attach(id: string): Promise<Connection> {
    return Connection.open(join(this.dir, 'c', id, 'socket'));
  }

  /** One request on a new connection; returns the first response. */
  async ask(type: number, ...list: Field[]): Promise<Frame> {
    const connection = await this.connect();
    await connection.send(frame(type, fields(...list)));
    const got = await connection.next();
    connection.close();
    if (got === null) throw new Error('no answer');
    return got;
  }

  /** Starts a command and returns once it runs. */
  async run(argv: string[], options: RunOptions = {}): Promise<Connection> {
    const connection = await this.connect();
    await connection.send(runFrame(argv, options));
    await connection.expect(answer.started);
    return connection;
  }

  /** Runs a command to its end. */
  async finish(argv: string[], options: RunOptions = {}): Promise<Outcome & { out: string; err: string }> {
    const connection = await this.run(argv, options);
    const exit = await connection.expect(answer.exit, [answer.output]);
    connection.close();
    const log = await this.log(options.id ?? 'one');
    return { ...outcome(exit), out: log.out.toString(), err: log.err.toString() };
  }

  async segments(id: string): Promise<Segment[]> {
    const folder = join(this.dir, 'c', id);
    const names = (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
    return Promise.all(names.map(async (name) => parseSegment(await readFile(join(folder, name)))));
  }

  async log(id: string): Promise<{ out: Buffer; err: Buffer }> {
    const records = (await this.segments(id)).flatMap((segment) => segment.records);
    const of = (stream: number) =>
      Buffer.concat(records.filter((r) => r.stream === stream).map((r) => r.data));
    return { out: of(1), err: of(2) };
  }

  /** The number of processes inside, without the agent's own and `ps`. */
  async processes(): Promise<number> {
    const id = `ps${Math.random().toString(36).slice(2)}`;
    const { out } = await this.finish(['sh', '-c', 'for d in /proc/[0-9]*; do echo "$d"; done; echo $$'], {
      id,
    });
    const lines = out.trim().split('\n');
    // The agent, the supervisor of this command, its shell.
    return lines.length - 1 - 3;
  }

  /**
   * The number of programs running inside: living processes other than the agent's and the one that counts.
   */
  async programs(): Promise<number> {
    const id = `ps${Math.random().toString(36).slice(2)}`;
    return Number((await this.finish([process.execPath, '-e', COUNT_PROGRAMS], { id })).out);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
    await rm(this.base, { recursive: true, force: true });
  }
}

/** A supervisor has the agent's command line; a process that has ended has none. */
const COUNT_PROGRAMS = `
const { readdirSync, readFileSync } = require('node:fs');
const commandLine = (pid) => { try { return readFileSync('/proc/' + pid + '/cmdline', 'latin1'); } catch { return ''; } };
const agent = commandLine(1);
const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid);
console.log(pids.filter((pid) => ![agent, ''].includes(commandLine(pid))).length);
`;

export interface Outcome {
  code: number;
  signal: number;
  cause: number;
  stdout: number;
  stderr: number;
  durationMs: number;
}

export function outcome(exit: Frame): Outcome {
  return {
    code: exit.number(70),
    signal: exit.number(71),
    cause: exit.number(72),
    durationMs: exit.number(74),
    stdout: exit.number(75),
    stderr: exit.number(76),
  };
}

export interface Segment {
  index: number;
  before: { stdout: number; stderr: number; stdoutLines: number; stderrLines: number };
  records: { stream: number; data: Buffer }[];
}

function parseSegment(bytes: Buffer): Segment {
  if (bytes.subarray(0, 8).toString() !== 'SBXLOG2\n') throw new Error('no segment');
  const records: Segment['records'] = [];
  for (let at = 48; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at + 4);
    records.push({ stream: bytes.readUInt8(at), data: bytes.subarray(at + 8, at + 8 + size) });
    at += 8 + size;
  }
  const number = (at: number): number => Number(bytes.readBigUInt64LE(at));
  const before = {
    stdout: number(16),
    stderr: number(24),
    stdoutLines: number(32),
    stderrLines: number(40),
  };
  return { index: bytes.readUInt32LE(8), before, records };
}

function mapIds(pid: number, single: boolean): void {
  const count = single ? 1 : 65_536;
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  if (single) writeFileSync(`/proc/${pid}/setgroups`, 'deny');
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${uid} ${count}\n`);
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${gid} ${count}\n`);
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

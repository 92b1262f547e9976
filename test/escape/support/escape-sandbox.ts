/**
 * The environment of the attempts: one engine with every isolation layer, others on the same state without
 * some, and targets.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildAgent } from '../../../agent/build.mjs';
import type { CreateSandbox, Engine, SandboxSource } from '../../../src/engines/engine.ts';
import { findProgram } from '../../../src/engines/oci/host/host-program.ts';
import { createOciEngine } from '../../../src/engines/oci/index.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { run, start } from '../../conformance/support/run.ts';
import { AGENT_PATH } from '../../engines/oci/support/oci-engines.ts';
import { busyboxEntries, dockerArchive, tarOf } from '../../support/archives.ts';
import { warm } from '../../support/host/warm-state.ts';
import { type Attempt, HOST_DEVICES, type Targets, wordOf } from './attempt.ts';
import { type Layer, without } from './isolation-layers.ts';

const PROGRAM = '/vercel/sandbox/attempt';
const PROGRAMS = join(import.meta.dirname, '../programs');
const isRoot = process.getuid?.() === 0;
/** Half a vcpu: 1,024 MB and 512 tasks. */
const VCPUS = 0.5;

/** How a sandbox differs from a plain one of the host's best runtime. */
export type SandboxKind = 'of runc' | 'of an image' | 'from a snapshot';

export interface EscapeSandbox {
  readonly targets: Targets;
  /** The limits that the engine reports as not enforced here. */
  readonly notEnforced: string[];
  /** Runs attempts in a new sandbox without these layers; returns the results in order. */
  attempt(layers: readonly Layer[], attempts: readonly Attempt[]): Promise<string[]>;
  /** The same with every layer in a sandbox of another kind; null if the machine lacks what it needs. */
  attemptIn(kind: SandboxKind, attempts: readonly Attempt[]): Promise<string[] | null>;
  attemptOnHost(attempts: readonly Attempt[]): Promise<string[]>;
  close(): Promise<void>;
}

async function compile(folder: string): Promise<string> {
  const out = join(folder, 'attempt');
  const sources = (await readdir(PROGRAMS)).filter((name) => name.endsWith('.c'));
  const flags = ['-std=gnu11', '-O1', '-static', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter'];
  await promisify(execFile)('cc', [...flags, '-o', out, ...sources.map((name) => join(PROGRAMS, name))]);
  return out;
}

/** An agent that hides nothing, for controls, which need root. */
function buildOpenAgent(folder: string): Promise<unknown> {
  const extraFlags = ['-include', join(import.meta.dirname, '../no-hiding.h')];
  return buildAgent({ outFile: join(folder, 'agent'), extraFlags });
}

async function listening(address: string | { port: number; host: string }): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen(address);
  await once(server, 'listening');
  return server;
}

/** The results after the names, in the requested order. */
function outcomes(attempts: readonly Attempt[], printed: string): string[] {
  const lines = printed.trimEnd().split('\n');
  return attempts.map(({ name }, index) => {
    const [first, word = ''] = (lines[index] ?? '').split(' ');
    if (first !== name) throw new Error(`${name}: the program printed ${lines[index] ?? 'nothing'}`);
    return word;
  });
}

/** The runtime name of a small image; null without busybox. */
async function importImage({ images }: Engine, folder: string): Promise<string | null> {
  const entries = busyboxEntries();
  if (entries === null || images === undefined) return null;
  const archive = join(folder, 'image.tar');
  await writeFile(archive, tarOf(dockerArchive([tarOf(entries)])));
  const name = 'escape';
  await images.import({ name, archive, maxBytes: 64 * 1_048_576 }, timeoutSignal());
  return name;
}

async function snapshotOf(engine: Engine): Promise<SandboxSource> {
  const { sandboxId } = await engine.create(createRequest({ vcpus: VCPUS }), timeoutSignal());
  const snapshot = await engine.snapshots?.take(sandboxId, null, timeoutSignal());
  await engine.forget(sandboxId, timeoutSignal());
  if (snapshot === undefined) throw new Error('the engine has no snapshots');
  return { type: 'snapshot', snapshotId: snapshot.snapshotId };
}

/** Prepares everything. If this rejects, nothing is left. */
export async function openEscapeSandbox(): Promise<EscapeSandbox> {
  const undo: (() => unknown)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return { ...(await prepare(undo)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function prepare(undo: (() => unknown)[]): Promise<Omit<EscapeSandbox, 'close'>> {
  const base = await mkdtemp(join(tmpdir(), 'e-'));
  undo.push(() => rm(base, { recursive: true, force: true }));
  await chmod(base, 0o755);
  const folder = join(base, 'host');
  const stateDir = join(base, 's');
  await mkdir(folder);
  await warm(stateDir);
  const [program] = await Promise.all([compile(base), isRoot ? buildOpenAgent(base) : null]);
  const word = randomBytes(8).toString('hex');
  const host = {
    folder,
    hostFile: join(folder, 'file'),
    hostSocket: join(folder, 'socket'),
    hostShared: `/dev/shm/escape-${word}`,
    abstractName: `escape-${word}`,
    sharedMemoryKey: randomInt(1, 2 ** 31 - 1),
  };
  await writeFile(host.hostFile, 'of the host\n');
  await writeFile(host.hostShared, 'of the host\n');
  undo.push(() => rm(host.hostShared, { force: true }));
  const servers = [
    await listening(host.hostSocket),
    await listening(`\0${host.abstractName}`),
    await listening({ port: 0, host: '127.0.0.1' }),
  ];
  undo.push(() => {
    for (const one of servers) one.close();
  });
  const address = servers[2]?.address();
  // Stands in for the server: a process of the same user with a secret in its environment.
  const server = spawn('sleep', ['3600'], {
    env: { PATH: '/usr/bin:/bin', SECRET: `secret-${word}` },
    stdio: 'ignore',
  });
  undo.push(() => server.kill('SIGKILL'));
  await once(server, 'spawn');
  await promisify(execFile)(program, [`make_shared_memory=${host.sharedMemoryKey}`]);
  undo.push(() => promisify(execFile)(program, [`remove_shared_memory=${host.sharedMemoryKey}`]));

  const shown = {
    folders: [base, host.hostShared],
    devices: HOST_DEVICES.filter((path) => existsSync(path)),
  };
  const open = (layers: readonly Layer[], ociRuntime = 'auto') =>
    createOciEngine({
      stateDir,
      ociRuntime,
      agentPath: layers.includes('hidden agent') ? join(base, 'agent') : AGENT_PATH,
      log: createLogger('silent'),
      ...(layers.length > 0 && { alterBundle: (config) => without(layers, config, shown) }),
    });
  const strict = open([]);
  undo.push(() => strict.close());
  const { notEnforced } = await strict.limits(AbortSignal.timeout(300_000));
  const neighbour = await strict.create(createRequest({ vcpus: VCPUS }), timeoutSignal());
  undo.push(() => strict.forget(neighbour.sandboxId, timeoutSignal()));
  const subject = { engine: strict, other: strict, shared: neighbour, create: async () => neighbour };
  const secretFile = { path: 'secret', content: Buffer.from('of another sandbox\n'), mode: 0o644 };
  await strict.files.write(neighbour.sandboxId, [secretFile], null, timeoutSignal());
  await start(subject, 'sh', ['-c', 'sleep 3600; true', `neighbour-${word}`]);

  const targets: Targets = {
    ...host,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    hostName: hostname(),
    serverPid: server.pid ?? 0,
    secret: `secret-${word}`,
    stateDir,
    neighbourFile: join(stateDir, 'sandboxes', neighbour.sandboxId, 'layers/upper/vercel/sandbox/secret'),
    neighbourWord: `neighbour-${word}`,
    program: PROGRAM,
  };

  /** Runs attempts in a new sandbox of this engine. */
  const attemptWith = async (
    engine: Engine,
    request: Partial<CreateSandbox>,
    attempts: readonly Attempt[],
  ): Promise<string[]> => {
    const sandbox = await engine.create(createRequest({ vcpus: VCPUS, ...request }), timeoutSignal());
    try {
      const file = { path: PROGRAM, content: await readFile(program), mode: 0o755 };
      await engine.files.write(sandbox.sandboxId, [file], null, timeoutSignal());
      const found = new Map<Attempt, string>();
      for (const sudo of [false, true]) {
        const batch = attempts.filter((one) => (one.sudo === true) === sudo);
        if (batch.length === 0) continue;
        const words = batch.map((one) => wordOf(one, targets));
        const { stdout } = await run({ ...subject, engine, shared: sandbox }, PROGRAM, words, { sudo });
        for (const [index, outcome] of outcomes(batch, stdout).entries()) {
          const one = batch[index];
          if (one !== undefined) found.set(one, outcome);
        }
      }
      return attempts.map((one) => found.get(one) ?? 'NOTHING');
    } finally {
      await engine.forget(sandbox.sandboxId, timeoutSignal());
    }
  };

  return {
    targets,
    notEnforced,
    async attempt(layers, attempts) {
      const engine = layers.length === 0 ? strict : open(layers);
      try {
        return await attemptWith(engine, {}, attempts);
      } finally {
        if (engine !== strict) await engine.close();
      }
    },
    async attemptIn(kind, attempts) {
      if (kind === 'of runc') {
        if (findProgram('runc') === null) return null;
        const engine = open([], 'runc');
        try {
          return await attemptWith(engine, {}, attempts);
        } finally {
          await engine.close();
        }
      }
      if (kind === 'from a snapshot')
        return attemptWith(strict, { source: await snapshotOf(strict) }, attempts);
      const imported = await importImage(strict, base);
      return imported ? attemptWith(strict, { runtime: imported }, attempts) : null;
    },
    async attemptOnHost(attempts) {
      const words = attempts.map((one) => wordOf(one, targets));
      const child = spawn(program, words, { cwd: base, stdio: ['ignore', 'pipe', 'ignore', 'pipe'] });
      let printed = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        printed += chunk.toString();
      });
      await once(child, 'close');
      return outcomes(attempts, printed);
    },
  };
}

/**
 * The relay, built with sanitizers, between a malicious sandbox and a server that sends any command at any
 * time.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentFiles, SOURCE_FLAGS } from '../../../agent/build.mjs';
import type { DialMode, RedirectedConnection } from '../../../src/egress/connection/context.ts';
import { installAgent } from '../../../src/engines/oci/host/agent-program.ts';
import { RelayProcess } from '../../../src/engines/oci/network/relay-process.ts';
import { StateLayout } from '../../../src/engines/oci/state/state-layout.ts';
import { TIMEOUT_FACTOR } from '../../support/timeout-factor.ts';

/**
 * What a sandbox could send that has taken over its agent: fake connections, floods, truncated messages,
 * garbage.
 */
const ATTACKER = `
import os, random, socket, struct, sys, threading, time
random.seed(int(sys.argv[1])); place = sys.argv[2]; until = time.time() + float(sys.argv[3])
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen(512)
def pair():
  a = socket.create_connection(listener.getsockname()); b, _ = listener.accept(); return a, b
held = []
def some_fd():
  k = random.randrange(12)
  if k < 6:
    a, b = pair()
    if random.random() < .5: a.send(os.urandom(random.choice([1, 20, 5000])) if random.random() < .5 else b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
    if random.random() < .3: b.setblocking(True)
    if random.random() < .2: b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 100))
    if random.random() < .3: a.close()
    elif random.random() < .2: a.shutdown(random.choice([0, 1, 2])); held.append(a)
    else: held.append(a)
    if random.random() < .3: held.append(b)
    return b
  if k == 6: return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
  if k == 7: return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
  if k == 8: return listener.dup()
  if k == 9: return socket.socketpair()[0]
  if k == 10: return open('/dev/null', 'rb')
  return socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
def connect():
  while time.time() < until:
    try:
      s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(place); s.settimeout(.2); return s
    except OSError: time.sleep(.01)
sent = 0
peer = connect()
while time.time() < until:
  k = random.randrange(10)
  if k < 6: body = b'\\x20' + os.urandom(4) + struct.pack('>H', random.randrange(65536))
  elif k < 8: body = b'\\x22' + os.urandom(random.choice([4, 5, 40, 4096]))
  elif k == 8: body = os.urandom(random.choice([1, 7, 100, 6000]))
  else: body = b'\\x20' + os.urandom(random.randrange(9))
  files = [some_fd() for _ in range(random.choice([0, 1, 1, 1, 1, 1, 2, 5]))] if k < 6 or k == 9 else []
  try:
    socket.send_fds(peer, [body], [f.fileno() for f in files]); sent += 1
    if random.random() < .05: peer.settimeout(.001); peer.recv(5000); peer.settimeout(.2)
  except OSError: peer = connect()
  for f in files:
    if f not in held: f.close()
  while len(held) > 60: held.pop(random.randrange(len(held))).close()
  if random.random() < .01:
    crowd = [connect() for _ in range(20)]
print(sent)
`;

/** Minimum duration. */
const FUZZ_MS = 10_000;

let folder: string;
let program: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-fuzz-'));
  const built = join(folder, 'agent');
  const rooms = (await agentFiles()).filter((path) => /\/agent\/(relay|wire)\/[^/]+\.c$/.test(path));
  const sources = [join(import.meta.dirname, '../support/relay-only.c'), ...rooms];
  const flags = [...SOURCE_FLAGS, '-g', '-O1', '-Wall', '-Wextra', '-fno-omit-frame-pointer'];
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  await promisify(execFile)('cc', [...flags, ...sanitizers, '-o', built, ...sources]);
  const layout = new StateLayout(folder);
  await mkdir(layout.binaries);
  program = await installAgent(layout, built);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Deterministic: the same seed makes the same decisions, regardless of timing. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >> 8) % limit;
  };
}

describe('a hostile sandbox', () => {
  it('neither breaks its relay nor makes it lose a connection', async () => {
    const random = randomFrom(7);
    const outside = createServer({ allowHalfOpen: random(2) === 0 }, (socket) => {
      socket.on('error', () => socket.destroy());
      const what = random(8);
      if (what < 2) socket.end('bye');
      else if (what < 4) socket.write(Buffer.alloc(random(1_000_000)));
      else if (what < 5) socket.resetAndDestroy();
      else socket.pipe(socket);
    });
    outside.listen(0, '127.0.0.1');
    await once(outside, 'listening');
    const address = outside.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const agentDir = join(folder, 'a');
    await mkdir(agentDir);
    const died: string[] = [];
    const counts = { opened: 0, closed: 0, dialled: 0, taken: 0, queries: 0, bytes: 0 };

    const use = async (connection: RedirectedConnection): Promise<void> => {
      // An unexpected request is not answered; closing the connection ends that wait too.
      const timer = setTimeout(() => connection.reset(), random(400));
      for (let step = 0; step < 6; step++) {
        const how: DialMode[] = ['pass', 'hold', { request: Buffer.from('GET / HTTP/1.1\r\n\r\n') }];
        const what = random(9);
        if (what < 3) await connection.nextChunk(random(20));
        else if (what < 6) {
          const code = await connection.dial(
            '127.0.0.1',
            random(8) === 0 ? 1 : port,
            how[random(3)] ?? 'pass',
          );
          if (code === null) counts.dialled++;
        } else if (what === 6) connection.release();
        else if (what === 7) {
          const stream = await connection.takeStream();
          if (stream !== null) counts.taken++;
          stream?.on('data', () => undefined);
          if (random(2) === 0) stream?.end('words');
          else stream?.destroy();
        } else connection.endWith(Buffer.alloc(random(60_000)));
      }
      await connection.closed;
      clearTimeout(timer);
    };
    const relay = await RelayProcess.start(
      {
        program,
        dir: folder,
        agentDir,
        owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
      },
      {
        connection(connection) {
          counts.opened++;
          connection.closed.then(() => counts.closed++);
          use(connection).catch((error: unknown) => died.push(String(error)));
        },
        async query(bytes) {
          counts.queries++;
          return random(2) === 0 ? null : Buffer.concat([bytes, bytes]);
        },
        moved(bytes) {
          counts.bytes += bytes.in + bytes.out;
        },
        quotaExceeded: () => died.push('a limit that was not set'),
        freed: () => undefined,
        died: (words) => died.push(words),
      },
    );
    let attacker: ChildProcess | null = null;
    try {
      await relay.listen();
      attacker = spawn('python3', ['-c', ATTACKER, '3', join(agentDir, 'egress'), '600'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const ended = once(attacker, 'close');
      for (let again = 0; again < 5; again++) {
        const before = counts.opened;
        await expect.poll(() => counts.opened).toBeGreaterThan(before + 20);
        await relay.listen();
        relay.watchSuccessor();
      }
      await sleep(FUZZ_MS);
      // It must have reached the tested states, however slow the machine is.
      await expect
        .poll(() => Math.min(...Object.values(counts)), { timeout: 400_000 * TIMEOUT_FACTOR, interval: 500 })
        .toBeGreaterThan(50);
      attacker.kill('SIGKILL');
      await ended;
      expect(died).toEqual([]);
      await expect.poll(() => counts.opened - counts.closed).toBe(0);
      expect(died).toEqual([]);
    } finally {
      attacker?.kill('SIGKILL');
      await relay.close();
      outside.close();
    }
  });
});

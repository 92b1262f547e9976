/** The relay alone, with a server that stops reading: allowed connections keep working. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { destination, numbered, RELAY_FRAME } from '../../../src/engines/oci/network/relay-frames.ts';
import { encodeFrame, type Frame, FrameParser } from '../../../src/engines/oci/protocol/frames.ts';
import { programs } from '../../agent/support/agent-sandbox.ts';

/**
 * The sandbox: passes two connections to the relay, floods it with queries, and echoes input over the first
 * connection. Reports each completed step on standard output.
 */
const SANDBOX = `
import socket, struct, sys
relay = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); relay.connect(sys.argv[1])
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()
def hand_over():
  program = socket.create_connection(listener.getsockname()); inside, _ = listener.accept()
  socket.send_fds(relay, [b'\\x20\\x7f\\x00\\x00\\x01\\x00\\x50'], [inside.fileno()]); inside.close()
  return program
first, second = hand_over(), hand_over()
print('opened', flush=True)
for line in sys.stdin:
  if line == 'flood\\n':
    relay.setblocking(False); sent = 0
    while True:
      try: relay.send(b'\\x22' + struct.pack('<I', sent) + bytes(4000)); sent += 1
      except BlockingIOError:
        relay.setblocking(True); relay.settimeout(2)
        try: relay.send(b'\\x22' + struct.pack('<I', sent) + bytes(4000)); sent += 1; relay.setblocking(False)
        except TimeoutError: break
    print('flooded', sent, flush=True)
  if line == 'exchange\\n':
    first.settimeout(100)
    try:
      first.sendall(bytes(1000000)); got = 0
      while got < 1000000: got += len(first.recv(65536))
      print('exchanged', got, flush=True)
    except TimeoutError: print('stalled', flush=True)
`;

let base: string;
let echo: Server;
let relay: ChildProcess;
let sandbox: ChildProcess;
let lines: AsyncIterator<string>;
const parser = new FrameParser();
const frames: Frame[] = [];

// Compiles, which can take long on a busy machine.
beforeAll(async () => {
  await programs();
});

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'relay-stall-'));
  const agentDir = join(base, 'agent');
  await mkdir(agentDir);
  echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const [directory, streams] = await Promise.all([open(agentDir), open(base)]);
  relay = spawn(join(await programs(), 'agent'), ['relay'], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', directory.fd, streams.fd],
  });
  await Promise.all([directory.close(), streams.close()]);
  control().on('data', (chunk: Buffer) => {
    parser.feed(chunk);
    for (let frame = parser.take(); frame !== null; frame = parser.take()) frames.push(frame);
    control().emit('frame');
  });
  control().write(encodeFrame(RELAY_FRAME.LISTEN));
  await received(RELAY_FRAME.LISTENING, 1);
  sandbox = spawn('python3', ['-c', SANDBOX, join(agentDir, 'egress')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (sandbox.stdout === null) throw new Error('no output');
  lines = createInterface(sandbox.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('opened');
});

afterEach(async () => {
  for (const child of [relay, sandbox]) {
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }
  echo.close();
  await rm(base, { recursive: true, force: true });
});

function control(): Socket {
  const stream = relay.stdio[3];
  if (!(stream instanceof Socket)) throw new Error('no control connection');
  return stream;
}

async function received(type: number, count: number): Promise<Frame[]> {
  const matching = () => frames.filter((frame) => frame.type === type);
  while (matching().length < count) await once(control(), 'frame');
  return matching();
}

async function request(step: string): Promise<string> {
  sandbox.stdin?.write(`${step}\n`);
  const { value } = await lines.next();
  return String(value);
}

it('copies the bytes of a connection while the server does not read, and reports everything afterwards', async () => {
  const [first] = await received(RELAY_FRAME.OPENED, 2);
  const id = first?.body.readUInt32LE() ?? 0;
  const address = echo.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  control().write(
    encodeFrame(
      RELAY_FRAME.CONNECT,
      Buffer.concat([numbered(id), destination('127.0.0.1', port), Buffer.from([0])]),
    ),
  );
  await received(RELAY_FRAME.CONNECTED, 1);
  control().pause();
  const flooded = await request('flood');
  const queries = Number(flooded.split(' ')[1]);
  // More than the control connection and the relay's queue hold.
  expect(queries).toBeGreaterThan(20);
  expect(await request('exchange')).toBe('exchanged 1000000');
  control().resume();
  expect(await received(RELAY_FRAME.DNS_QUERY, queries)).toHaveLength(queries);
  // The tokens are in order: nothing was lost.
  const tokens = frames
    .filter(({ type }) => type === RELAY_FRAME.DNS_QUERY)
    .map(({ body }) => body.readUInt32LE(4));
  expect(tokens).toEqual(Array.from({ length: queries }, (_, index) => index));
});

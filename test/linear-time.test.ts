/**
 * Nothing that comes out of a sandbox, or from a model, costs the server more than linear time. Each parser
 * gets inputs of one size and of twice that size. Their CPU times are compared, not wall-clock times, which
 * depend on the load of the machine.
 */
import { encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { ClientHelloParser } from '../src/egress/connection/client-hello.ts';
import { hasValidRequestLine, ProtocolDetector } from '../src/egress/connection/detect-protocol.ts';
import { Gateway } from '../src/egress/gateway.ts';
import { headerValues, Malformed } from '../src/egress/http/request.ts';
import { framingOf } from '../src/egress/http/request-framing.ts';
import { parseSimpleRequest } from '../src/egress/http/simple-request.ts';
import { compilePolicy } from '../src/egress/policy/policy.ts';
import { Fields, FrameParser } from '../src/engines/oci/protocol/frames.ts';
import { DEFAULT_SOURCE_LIMITS } from '../src/engines/oci/source/source-limits.ts';
import { TarballContents } from '../src/engines/oci/source/tarball-contents.ts';
import { readTar } from '../src/images/tar/tar-reader.ts';
import { LineSplitter } from '../src/registry/logs/line-splitter.ts';
import { parseMessage } from '../src/server/parse-message.ts';
import { SandboxError } from '../src/shared/errors.ts';
import { outputText } from '../src/shared/text/output-text.ts';
import { TerminalScreen } from '../src/shared/text/terminal-screen.ts';
import { lastVisibleLine, terminalText, unfinishedEscapeBytes } from '../src/shared/text/terminal-text.ts';
import { TerminalTranscript } from '../src/shared/text/terminal-transcript.ts';
import { decodeFiles } from '../tools/common/file-content.ts';
import { TOOLS } from '../tools/index.ts';
import { excluder } from '../tools/transfers/exclude.ts';
import { foreignInputs } from './support/foreign-inputs.ts';
import { SEED } from './support/seed.ts';
import { type Member, tarOf } from './support/tarball.ts';

/** Bytes of the smaller input. A quadratic parser takes a considerable part of a second for it. */
const SIZE = 16_384;
/** Twice the input may take this many times the time; a quadratic parser takes four times. */
const RATIO = 3;
/** Below this the ratio says nothing. */
const NOISE_MS = 60;
const MAX_MICROSECONDS_PER_BYTE = 20;
const RUNS = 4;

type Target = (input: Buffer) => unknown;

/** Milliseconds of processor time. */
async function cost(target: Target, input: Buffer): Promise<number> {
  const before = process.cpuUsage();
  try {
    await target(input);
  } catch (error) {
    // A refusal is fine; anything else is a defect.
    if (!(error instanceof SandboxError) && !(error instanceof Malformed)) throw error;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/**
 * The problem with the time that an input takes, or null. Garbage collection can slow down a single run, so a
 * few must agree.
 */
async function problemOf(target: Target, input: Buffer, twice: Buffer, runs = RUNS): Promise<string | null> {
  let [one, two] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let run = 0; run < runs; run += 1) {
    one = Math.min(one, await cost(target, input));
    two = Math.min(two, await cost(target, twice));
    if (two <= Math.min(RATIO * one + NOISE_MS, (twice.length * MAX_MICROSECONDS_PER_BYTE) / 1_000))
      return null;
  }
  return `${one.toFixed(1)} ms, twice as much: ${two.toFixed(1)} ms`;
}

/** Byte by byte at first, then in larger pieces, as a network may deliver them. */
function* pieces(input: Buffer): Generator<Buffer> {
  const bytewise = Math.min(input.length, 2_048);
  for (let at = 0; at < bytewise; at += 1) yield input.subarray(at, at + 1);
  for (let at = bytewise; at < input.length; at += 1_000) yield input.subarray(at, at + 1_000);
}

/** Records of TLS handshake with a few bytes each. */
function smallRecords(input: Buffer): Buffer {
  const records = Buffer.alloc(input.length * 6, Buffer.from([22, 3, 1, 0, 1, 0]));
  for (let at = 0; at < input.length; at += 1) records[at * 6 + 5] = input[at] ?? 0;
  return records;
}

function gateway(): Gateway {
  return new Gateway({
    policy: compilePolicy({ mode: 'custom', allow: ['good.test'] }, { opened: [], ownAddresses: () => [] }),
    lookup: () => Promise.resolve({ addresses: [], ttl: 60 }),
    tls: null,
    refuseEch: false,
    maxBytes: null,
    previous: { entries: [], totals: { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 } },
    onEntry: () => {},
    onDefect: (error) => {
      throw error;
    },
  });
}

/** The input in frames of the agent's protocol, or as one. */
function frames(input: Buffer, bodyBytes: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < input.length; at += bodyBytes) {
    const body = input.subarray(at, at + bodyBytes);
    const header = Buffer.alloc(5);
    header.writeUInt32LE(body.length);
    header.writeUInt8(0x81, 4);
    parts.push(header, body);
  }
  return Buffer.concat(parts);
}

function takeFrames(bytes: Buffer): void {
  const parser = new FrameParser();
  for (const piece of pieces(bytes)) {
    parser.feed(piece);
    for (let frame = parser.take(); frame !== null; frame = parser.take()) {
      const { body } = frame;
      refusing(() => new Fields(body));
    }
  }
}

/** Members whose names and targets are the input's. */
async function* archiveOf(input: Buffer): AsyncGenerator<Buffer> {
  const members: Member[] = [];
  for (let at = 0; at < input.length; at += 512) {
    const text = input
      .subarray(at, at + 90)
      .toString('latin1')
      .replaceAll('\0', '');
    members.push({ path: `${at}/${text}`, type: TYPES[(at / 512) % TYPES.length] ?? 'File', linkpath: text });
  }
  yield tarOf(members);
}

const TYPES = ['File', 'Directory', 'SymbolicLink', 'Link'] as const;

/** Arguments of every tool, with the input for each text in the schema. */
function prepareTools(input: Buffer): void {
  const text = input.toString('latin1');
  for (const tool of TOOLS) {
    const args = Object.fromEntries(Object.keys(tool.input.shape).map((name) => [name, text]));
    tool.prepare(args);
    tool.prepare({
      ...args,
      files: [{ path: text, content: text, encoding: 'base64' }],
      args: [text],
      env: { A: text },
    });
  }
  refusing(() => decodeFiles([{ path: 'a', content: text, encoding: 'base64' }]));
  refusing(() => excluder([text, text.slice(0, 200)]));
}

/** After a refusal, the other parsers still get the input. */
function refusing(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
  }
}

const TARGETS: Readonly<Record<string, Target>> = {
  'a TLS hello': (input) => {
    for (const bytes of [
      input,
      smallRecords(input),
      Buffer.concat([Buffer.from([22, 3, 1, 64, 0, 1, 0, 255, 255]), input]),
    ]) {
      const parser = new ClientHelloParser();
      for (const piece of pieces(bytes)) parser.push(piece);
    }
  },
  'the protocol of a connection': (input) => {
    const detector = new ProtocolDetector();
    for (let length = 1; length <= input.length; length += 512) {
      if (detector.detect(input.subarray(0, length)) !== null) break;
    }
    hasValidRequestLine(input);
  },
  'an HTTP head': (input) => {
    for (let at = 0; at < input.length; at += 16_000) {
      const part = input.subarray(at, at + 16_000);
      parseSimpleRequest(
        Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n'), part, Buffer.from('\r\n\r\n')]),
      );
    }
    const value = input.toString('latin1');
    const head = {
      version: '1.1',
      method: 'GET',
      url: '/',
      rawHeaders: ['Connection', value, 'Content-Length', value],
    };
    headerValues(head, 'host');
    framingOf(head);
  },
  'DNS queries': async (input) => {
    const server = gateway();
    for (let at = 0; at < input.length; at += 512) {
      const name = input
        .subarray(at, at + 60)
        .toString('latin1')
        .replace(/[^a-z]/g, 'x');
      const query = encode({ type: 'query', id: 1, questions: [{ type: 'A', name: `${name}.test` }] });
      input.copy(query, 12 + (at % 32), at, at + 4);
      await server.answerQuery(query);
    }
  },
  'small frames of the agent': (input) => takeFrames(frames(input, 16)),
  'large frames of the agent': (input) => takeFrames(frames(input, 60_000)),
  'lines of a log': (input) => {
    const splitter = new LineSplitter({ stdout: 0, stderr: 0 });
    let offset = 0;
    let count = 0;
    for (const data of pieces(input)) {
      const stream = offset % 3 === 0 ? 'stderr' : 'stdout';
      for (const { bytes } of splitter.lines({ stream, offset, data }))
        count += outputText(bytes, 'x').length;
      offset += data.length;
    }
    return count;
  },
  'terminal text': (input) => {
    const text = input.toString('utf8');
    terminalText(text);
    lastVisibleLine(text);
    unfinishedEscapeBytes(input);
    outputText(input, 'x');
    const transcript = new TerminalTranscript();
    for (const piece of pieces(input)) transcript.add(piece.toString('latin1'));
  },
  'a terminal': async (input) => {
    const screen = new TerminalScreen(80, 24, () => {});
    await screen.write(input.toString('utf8'));
    screen.view();
    screen.dispose();
  },
  'a tar archive': (input) =>
    readTar(archiveOf(input), async ({ content }) => {
      for await (const _ of content);
    }),
  'members of a source archive': (input) => {
    const contents = new TarballContents('http://a/', DEFAULT_SOURCE_LIMITS);
    for (let at = 0; at < input.length; at += 64) {
      contents.add({
        path: `${at}/${input.subarray(at, at + 60).toString('latin1')}`,
        type: 'File',
        size: 0,
        mode: 0o644,
      });
    }
  },
  'tool arguments': prepareTools,
  'a message': (input) => {
    parseMessage(input.toString('latin1'));
    parseMessage(JSON.stringify({ jsonrpc: '2.0', id: 1, method: input.toString('latin1'), params: {} }));
  },
};

describe.each(Object.entries(TARGETS))('%s', (_title, target) => {
  it('takes time in proportion to its length', async () => {
    const longer = foreignInputs(2 * SIZE, SEED);
    const slow: string[] = [];
    for (const [name, input] of foreignInputs(SIZE, SEED)) {
      const twice = longer.get(name) ?? Buffer.alloc(0);
      const problem = await problemOf(target, input, twice);
      if (problem !== null) slow.push(`${name}: ${problem}`);
    }
    expect(slow).toEqual([]);
  });
});

describe('a quadratic parser', () => {
  it('is detected', async () => {
    const quadratic = (input: Buffer): number => {
      let equal = 0;
      const { length } = input;
      for (let one = 0; one < length; one += 1)
        for (let other = 0; other < length; other += 1) if (input[one] === input[other]) equal += 1;
      return equal;
    };
    const problem = await problemOf(quadratic, Buffer.alloc(SIZE), Buffer.alloc(2 * SIZE), 1);
    expect(problem).toContain('twice as much');
  });
});

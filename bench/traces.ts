/** Where the time of a start, a create and a call goes: spans of `--trace-file`, as tables. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

const clientInfo = { name: 'bench', version: '1' };
const tool = (name: string, args: Record<string, unknown> = {}) => ({
  method: 'tools/call',
  params: { name, arguments: args },
});
const RUN = tool('sandbox_run_command', { cmd: 'true' });
/** Sent one after the other; the stock has time to fill before the third create. The second boots. */
const REQUESTS = [
  { method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo } },
  { method: 'tools/list' },
  tool('sandbox_create'),
  RUN,
  tool('sandbox_create'),
  RUN,
  tool('sandbox_create'),
  RUN,
];
const STOCKED_MS = 3_000;
/** The third create, as calls are counted in a trace. */
const STOCKED_CALL = 5;

const traced = z.array(
  z.object({
    ph: z.string(),
    name: z.string(),
    cat: z.string().optional(),
    ts: z.number().optional(),
    dur: z.number().optional(),
    tid: z.number(),
  }),
);

interface Span {
  layer: string;
  name: string;
  /** Microseconds since the start of the process. */
  start: number;
  duration: number;
  call: number;
}

/** What is shown, and which calls of the trace it consists of: the first is 1, and 0 is outside of calls. */
const SHOWN: readonly [title: string, calls: readonly number[]][] = [
  ['A start, to the first command in a new sandbox', [0, 1, 2]],
  ['A create that boots, and a command', [3, 4]],
  ['A create from the stock, and a command', [STOCKED_CALL, 6]],
];

/** Runs a conversation with the build in `dist`, and returns its traces as Markdown. */
export async function tracesOf(dist: string): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  await chmod(home, 0o711);
  const file = join(home, 'trace.json');
  const place = ['--state-dir', join(home, 's'), '--log-level', 'error'];
  try {
    // The first start prepares the state directory, which is not what is shown.
    await converse([join(dist, 'main.js'), ...place], REQUESTS.slice(0, 3));
    await converse([join(dist, 'main.js'), ...place, '--warm', '1', '--trace-file', file], REQUESTS);
    const spans = readSpans(await readFile(file, 'utf8'));
    if (spans.some(({ call, name }) => call === STOCKED_CALL && name === 'boot'))
      throw new Error('the create that should be from the stock has booted a sandbox');
    return SHOWN.map(([title, calls]) => tableOf(title, calls, spans)).join('\n');
  } finally {
    await rm(home, { recursive: true, force: true, maxRetries: 20 });
  }
}

async function converse(args: string[], requests: typeof REQUESTS): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (const [id, request] of requests.entries()) {
    if (id === 6) await delay(STOCKED_MS);
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...request })}\n`);
    const { value, done } = await lines.next();
    if (done || value.includes('"isError":true')) throw new Error(`${request.method}: ${value}`);
  }
  child.stdin.end();
  await exited;
}

function readSpans(text: string): Span[] {
  return traced
    .parse(JSON.parse(text))
    .flatMap(({ ph, name, cat = '', ts = 0, dur = 0, tid }) =>
      ph === 'X' ? [{ layer: cat, name, start: ts, duration: dur, call: tid }] : [],
    );
}

/** Spans that begin while another one runs are indented below it. */
function tableOf(title: string, calls: readonly number[], spans: readonly Span[]): string {
  const last = calls.at(-1) ?? 0;
  const end = Math.max(...spans.filter(({ call }) => call === last).map(endOf));
  const shown = spans
    .filter(({ call, start }) => calls.includes(call) && start < end)
    .sort((a, b) => a.start - b.start || b.duration - a.duration);
  const zero = shown[0]?.start ?? 0;
  const lines = shown.map((span) => {
    const depth = shown.filter(
      (other) => other !== span && other.call === span.call && contains(other, span),
    ).length;
    const cells = [millis(span.start - zero), millis(span.duration), span.layer];
    return `| ${cells.join(' | ')} | ${'&nbsp;&nbsp;'.repeat(depth)}${span.name} |`;
  });
  return [
    `### ${title}`,
    '',
    '| from, ms | takes, ms | layer | step |',
    '| ---: | ---: | --- | --- |',
    ...lines,
    '',
  ].join('\n');
}

function contains(outer: Span, inner: Span): boolean {
  const starts =
    outer.start < inner.start || (outer.start === inner.start && outer.duration > inner.duration);
  return starts && endOf(outer) >= endOf(inner);
}

function endOf({ start, duration }: Span): number {
  return start + duration;
}

function millis(micro: number): string {
  return (micro / 1_000).toFixed(1);
}

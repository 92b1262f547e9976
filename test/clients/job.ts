/** A job for a client, step by step, with what every client's model must see. */
import type { ClientProcess, Shown } from './client-process.ts';

const MARK = 'mark-4711';

export interface Step {
  readonly name: string;
  readonly tool: string;
  readonly given: Record<string, unknown>;
  /** Patterns of fields, whether shown as lines of text or as JSON. */
  readonly expected: readonly RegExp[];
  /** Text that must occur exactly once in the answer. */
  readonly once?: string;
  readonly image?: boolean;
  /** A row of the table of tokens. */
  readonly cost?: string;
}

/** Matches the field `name` with this value as `name: value` or in JSON, possibly quoted inside JSON. */
function field(name: string, value: string): RegExp {
  return new RegExp(`(?:\\b|\\\\n)${name}\\W{1,6}${value}(?!\\w)`);
}

const LINES = 700;

/** Strict function calling sends null for each argument that a model leaves out. */
const STEPS: readonly Step[] = [
  {
    name: 'create',
    tool: 'sandbox_create',
    given: {},
    expected: [field('sandbox_id', 'sbx_\\w+'), field('status', 'running')],
    cost: 'a new sandbox',
  },
  {
    name: 'write',
    tool: 'sandbox_write_files',
    given: { files: [{ path: 'note.txt', content: `${MARK}\n`, mode: '0640' }], cwd: null },
    expected: [field('size_bytes', '10')],
  },
  {
    name: 'run',
    tool: 'sandbox_run_command',
    given: { cmd: 'cat', args: ['note.txt'], cwd: null, env: null, wait_ms: null },
    expected: [field('exit_code', '0')],
    once: MARK,
    cost: 'a short command',
  },
  {
    name: 'exit 3',
    tool: 'sandbox_run_command',
    given: { cmd: 'sh', args: ['-c', 'exit 3'] },
    expected: [field('exit_code', '3')],
  },
  {
    name: 'long output',
    tool: 'sandbox_run_command',
    given: { cmd: 'seq', args: ['-f', 'line %g of a long output', String(LINES)] },
    expected: [field('exit_code', '0')],
    once: `line ${LINES - 1} of a long output`,
    cost: `${LINES} lines of output`,
  },
  {
    name: 'hand-off',
    tool: 'sandbox_run_command',
    given: { cmd: 'sh', args: ['-c', `sleep 3; cat note.txt`], wait_ms: 200 },
    expected: [/\brunning\b/, /command_wait/],
  },
  {
    name: 'wait',
    tool: 'command_wait',
    given: { command_id: '$command_id' },
    expected: [field('exit_code', '0')],
    once: MARK,
  },
  {
    name: 'logs',
    tool: 'command_logs',
    given: { command_id: '$command_id', cursor: null, grep: null },
    expected: [field('done', 'true')],
    once: MARK,
  },
  {
    name: 'read',
    tool: 'sandbox_read_file',
    given: { path: 'note.txt', offset: null, limit: null },
    expected: [field('exists', 'true'), field('size_bytes', '10')],
    once: MARK,
  },
  {
    name: 'read system file',
    tool: 'sandbox_read_file',
    given: { path: '/etc/passwd' },
    expected: [field('exists', 'true')],
    once: 'root:x:0:0:',
    cost: 'a text file',
  },
  {
    name: 'read missing',
    tool: 'sandbox_read_file',
    given: { path: 'missing' },
    expected: [field('exists', 'false')],
  },
  {
    name: 'upload',
    tool: 'sandbox_upload_file',
    given: { local_path: 'shared/picture.png', remote_path: 'picture.png', mode: null },
    expected: [field('files', '1')],
  },
  {
    name: 'image',
    tool: 'sandbox_read_file',
    given: { path: 'picture.png' },
    expected: [],
    image: true,
  },
  {
    name: 'error',
    tool: 'sandbox_get',
    given: { sandbox_id: 'sbx_000000000000' },
    expected: [/not_found/, /Next step/],
  },
  {
    name: 'list',
    tool: 'sandbox_list',
    given: { limit: null, cursor: null, since: '2026-01-01' },
    expected: [field('sandbox_id', '$sandbox_id')],
    cost: 'a list of sandboxes',
  },
];

/** The rows of the table of tokens. */
export const COSTS = STEPS.flatMap(({ cost = [] }) => cost);

/** The steps that need no id from an earlier answer: a scripted model knows none. */
export const AGENT_STEPS = STEPS.filter(
  ({ given, image }) => !JSON.stringify(given).includes('$') && image !== true && !('local_path' in given),
);
/** Leaves a command running when the client ends. */
export const LAST_CALL = { tool: 'sandbox_run_command_detached', given: { cmd: 'sleep', args: ['1000'] } };

export interface JobResult {
  /** Deviations from the expected results, each with its step. */
  readonly problems: string[];
  /** What the model saw, by row of the table of tokens. */
  readonly costs: Map<string, string>;
  /** How an image arrived. */
  readonly image: 'image' | 'base64' | 'nothing';
}

/**
 * Runs all steps, optionally without null arguments; leaves the sandbox and a detached command running.
 */
export async function runJob(
  client: ClientProcess,
  picture: Buffer,
  withoutNulls: boolean,
): Promise<JobResult> {
  const problems: string[] = [];
  const costs = new Map<string, string>();
  const known = new Map<string, string>();
  let image: JobResult['image'] = 'nothing';
  for (const step of STEPS) {
    const shown = await client.call(step.tool, fill(step.given, known, withoutNulls));
    if (step.name !== 'error') learn(shown.text, known);
    problems.push(...problemsOf(step, shown, known).map((problem) => `${step.name}: ${problem}`));
    if (step.cost !== undefined) costs.set(step.cost, shown.text);
    if (step.image === true) {
      image =
        shown.images > 0 ? 'image' : shown.text.includes(picture.toString('base64')) ? 'base64' : 'nothing';
    }
  }
  await client.call(LAST_CALL.tool, LAST_CALL.given);
  return { problems, costs, image };
}

/** Adds the ids of an answer. */
export function learn(text: string, known: Map<string, string>): void {
  for (const id of ['sandbox_id', 'command_id']) {
    const found = field(id, '(\\w+)').exec(text)?.[1];
    if (found !== undefined) known.set(id, found);
  }
}

/** The deviations from what a model must see. */
export function problemsOf(
  step: Step,
  { text, images }: Pick<Shown, 'text' | 'images'>,
  known: ReadonlyMap<string, string> = new Map(),
): string[] {
  const missing = step.expected
    .map(({ source }) => new RegExp(fillText(source, known)))
    .filter((pattern) => !pattern.test(text))
    .map(({ source }) => `no ${source} in ${text.slice(0, 300)}`);
  const copies = step.once === undefined ? 1 : text.split(step.once).length - 1;
  return [
    ...missing,
    ...(copies === 1 ? [] : [`${copies} copies of ${step.once}`]),
    ...(images > 1 ? [`${images} images`] : []),
  ];
}

/** The arguments, with ids from earlier answers filled in. */
export function fill(
  given: Record<string, unknown>,
  known: ReadonlyMap<string, string>,
  withoutNulls: boolean,
): Record<string, unknown> {
  const passed = Object.entries(given).filter(([, value]) => !withoutNulls || value !== null);
  const entries = passed.map(([name, value]) => [
    name,
    typeof value === 'string' ? fillText(value, known) : value,
  ]);
  return Object.fromEntries(entries);
}

function fillText(text: string, known: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\w+_id)/g, (whole, name: string) => known.get(name) ?? whole);
}

/**
 * `npm run session`: a first conversation with the real server, as an agent would have it on a project with a
 * bug: each call with the server's own result, shortened where it shows `…`, and what git says on the host.
 * `npm run record` makes the picture in the README from it.
 */
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { wantsColour } from './screen.ts';
import { DemoServer, messageOf, serverEnvironment } from './server.ts';

const EXAMPLE = join(import.meta.dirname, '../examples/word-count');
/** The line of the example that gets a bug. */
const RIGHT = 'n - m ||';
const WRONG = 'm - n ||';
const FILE = 'src/words.js';
/** Gives a viewer of the recording time to follow. */
const PAUSE_MS = 500;
/** Identity of the commit, and no settings of this machine. */
const GIT = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.org',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.org',
};

/** A call of a tool, or a line that the user types on the host. */
type Step = { readonly says?: string /** The lines to show; absent: all. */; readonly shows?: RegExp } & (
  | { readonly tool: string; readonly args: Record<string, unknown> }
  | { readonly host: readonly [string, ...string[]] }
);

const TEST: Step = {
  tool: 'sandbox_run_command',
  args: { cmd: 'node', args: ['--test', 'test/words.test.js'] },
  shows: /^exit_code|^. (tests|pass|fail) /,
};
const DIFF = /^(--- |\+\+\+ |@@|[-+] {2})/;

const STEPS: readonly Step[] = [
  {
    says: 'A sandbox on your project: at once, at any size. Secrets stay outside, changes stay inside.',
    tool: 'sandbox_create',
    args: { workspace: { local_path: '.' } },
    shows: /^(sandbox_id|status|cwd):/,
  },
  { ...TEST, says: 'Run its tests, and fix what fails.' },
  {
    tool: 'sandbox_edit_file',
    args: { path: FILE, edits: [{ old_text: WRONG, new_text: RIGHT }] },
    shows: DIFF,
  },
  TEST,
  { says: 'Look at what changed. Your folder has not.', host: ['git', 'status'], shows: /^nothing/ },
  {
    tool: 'sandbox_changes',
    args: { format: 'diff' },
    shows: DIFF,
  },
  {
    says: 'Write it to your folder. A client that can ask you asks first.',
    tool: 'sandbox_apply_changes',
    args: {},
    shows: /^- \{|^refused:/,
  },
  { host: ['git', 'diff'], shows: DIFF },
  { says: 'Stop it. Nothing is left.', tool: 'sandbox_stop', args: { blocking: true }, shows: /^status:/ },
];

const colour = wantsColour(process.stdout, process.env['NO_COLOR']);

function paint(code: number, text: string): string {
  return colour ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** May include output of a program: must not control the terminal. */
function printable(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, '');
}

/** What a step printed. */
async function run(server: DemoServer, folder: string, step: Step): Promise<string> {
  if ('tool' in step) return server.text(step.tool, step.args);
  const [program, ...args] = step.host;
  return execFileSync(program, args, { cwd: folder, encoding: 'utf8', env: { ...process.env, ...GIT } });
}

async function take(server: DemoServer, folder: string, step: Step): Promise<void> {
  const { says, shows } = step;
  if (says !== undefined) console.log(`\n${paint(90, `# ${says}`)}`);
  const call = 'tool' in step ? [paint(1, step.tool), paint(90, JSON.stringify(step.args))] : step.host;
  console.log(`${paint(36, 'tool' in step ? '›' : '$')} ${call.join(' ')}`);
  const lines = (await run(server, folder, step)).split('\n').filter((line) => line.trim() !== '');
  const shown = lines.filter((line) => shows === undefined || shows.test(line));
  for (const line of shown) console.log(`  ${printable(line)}`);
  if (shown.length < lines.length) console.log(paint(90, '  …'));
  await delay(PAUSE_MS);
}

/** The example with a bug, committed. */
async function makeProject(folder: string): Promise<void> {
  await cp(EXAMPLE, folder, { recursive: true });
  const source = await readFile(join(folder, FILE), 'utf8');
  if (!source.includes(RIGHT)) throw new Error(`${FILE} of the example has changed`);
  await writeFile(join(folder, FILE), source.replace(RIGHT, WRONG));
  const git = (...args: string[]): void => {
    execFileSync('git', args, { cwd: folder, stdio: 'ignore', env: { ...process.env, ...GIT } });
  };
  git('init', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--message=First version');
}

const folder = await realpath(await mkdtemp(join(tmpdir(), 'sandbox-mcp-session-')));
const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort());
try {
  await makeProject(folder);
  const server = await DemoServer.start(
    { cwd: folder, allowDir: folder, env: serverEnvironment(process.env) },
    abort.signal,
  );
  try {
    for (const step of STEPS) await take(server, folder, step);
  } finally {
    await server.close();
  }
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

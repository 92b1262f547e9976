/**
 * `npm run session`: a first conversation with the real server, as an agent would have it: each call with the
 * server's own result, shortened where it shows `…`. `npm run record` makes the picture in the README from
 * it.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { wantsColour } from './screen.ts';
import { DemoServer, messageOf, serverEnvironment } from './server.ts';

const PROJECT = join(import.meta.dirname, '../examples/word-count');
const PORT = 8080;
/** Gives a viewer of the recording time to follow. */
const PAUSE_MS = 500;

interface Step {
  readonly says?: string;
  readonly tool: string;
  readonly args: Record<string, unknown>;
  /** The lines of the result to show; absent: all. */
  readonly shows?: RegExp;
}

const STEPS: readonly Step[] = [
  {
    says: 'Create a sandbox. It becomes the current one.',
    tool: 'sandbox_create',
    args: { ports: [PORT] },
    shows: /^(sandbox_id|status|cwd):|^- .*url/,
  },
  {
    says: 'Upload a project and run tests.',
    tool: 'sandbox_upload_file',
    args: { local_path: '.', remote_path: 'app' },
    shows: /^(files|bytes):/,
  },
  {
    tool: 'sandbox_run_command',
    args: { cmd: 'node', args: ['--test', 'test/words.test.js'], cwd: 'app' },
    shows: /^exit_code|^. (tests|pass|fail) /,
  },
  {
    says: 'A long command continues in the background. Nothing is run twice.',
    tool: 'sandbox_run_command',
    args: { cmd: 'bash', args: ['-c', 'for i in 1 2 3; do echo $i; sleep 1; done'], wait_ms: 1500 },
    shows: /^running|^\d+$/,
  },
  {
    says: 'Serve a page.',
    tool: 'sandbox_run_command_detached',
    args: { cmd: 'node', args: ['src/server.js'], cwd: 'app', env: { PORT: String(PORT) } },
    shows: /^running/,
  },
  { tool: 'sandbox_domain', args: { port: PORT }, shows: /^url:/ },
  { says: 'Errors say what to do.', tool: 'sandbox_domain', args: { port: 3000 }, shows: /^Error|^Next/ },
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

async function take(server: DemoServer, { says, tool, args, shows }: Step): Promise<void> {
  if (says !== undefined) console.log(`\n${paint(90, `# ${says}`)}`);
  console.log(`${paint(36, '›')} ${paint(1, tool)} ${paint(90, JSON.stringify(args))}`);
  const lines = (await server.text(tool, args)).split('\n').filter((line) => line.trim() !== '');
  const shown = lines.filter((line) => shows === undefined || shows.test(line));
  for (const line of shown) console.log(`  ${printable(line)}`);
  if (shown.length < lines.length) console.log(paint(90, '  …'));
  await delay(PAUSE_MS);
}

const folder = await realpath(await mkdtemp(join(tmpdir(), 'sandbox-mcp-session-')));
const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort());
try {
  const server = await DemoServer.start(
    { cwd: PROJECT, allowDir: folder, env: serverEnvironment(process.env) },
    abort.signal,
  );
  try {
    for (const step of STEPS) await take(server, step);
  } finally {
    await server.close();
  }
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/**
 * `npm run demo [-- DIR]`: takes a project through a sandbox with the real server and the protocol's own
 * client, and shows that nothing is left. Exits with code 1 and a sentence if something fails.
 */
import { mkdtemp, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadConfig, processContext } from '../src/config/config.ts';
import { DemoError } from './demo-error.ts';
import { Screen, wantsColour } from './screen.ts';
import { messageOf, serverEnvironment } from './server.ts';
import { takeTour } from './tour.ts';

const EXAMPLE = join(import.meta.dirname, '../examples/word-count');

/** The directory in which the user typed the command: npm runs scripts in the package's own directory. */
function startDirectory(): string {
  return process.env['INIT_CWD'] ?? process.cwd();
}

/** @throws DemoError for arguments that name no directory */
async function projectDirectory(args: readonly string[]): Promise<string> {
  const [given, ...more] = args;
  if (more.length > 0)
    throw new DemoError(`Expected one directory; unexpected argument ${JSON.stringify(more[0])}.`);
  if (given === undefined) return realpath(EXAMPLE);
  const path = resolve(startDirectory(), given);
  const found = await stat(path).catch(() => null);
  if (found === null) throw new DemoError(`Directory ${JSON.stringify(given)} does not exist.`);
  if (!found.isDirectory()) throw new DemoError(`${JSON.stringify(given)} is not a directory.`);
  return realpath(path);
}

async function demo(screen: Screen, signal: AbortSignal): Promise<number> {
  const directory = await projectDirectory(process.argv.slice(2));
  const env = serverEnvironment(process.env);
  const config = loadConfig(new Map(), { ...processContext(), env });
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'sandbox-mcp-demo-')));
  try {
    const problem = await takeTour({ directory, folder, config, env, screen, signal });
    screen.end(problem ?? 'Done: everything worked, and nothing is left.', problem === null);
    return problem === null ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => interrupted.abort(new DemoError(`Ended by ${name}.`)));
}
// A reader such as `head` has closed the pipe; what was begun is still cleaned up.
process.stdout.on('error', () => interrupted.abort(new DemoError('The output was closed.')));
const screen = new Screen(
  (text) => void process.stdout.write(text),
  wantsColour(process.stdout, process.env['NO_COLOR']),
);
try {
  process.exitCode = await demo(screen, interrupted.signal);
} catch (error) {
  const reason: unknown = interrupted.signal.aborted ? interrupted.signal.reason : error;
  const known = reason instanceof DemoError || !(reason instanceof Error);
  screen.end(`The demo failed: ${known ? messageOf(reason) : (reason.stack ?? reason.message)}`, false);
  process.exitCode = 1;
}

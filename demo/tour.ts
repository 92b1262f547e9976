/** Takes a project through a sandbox, step by step. */
import { basename, posix } from 'node:path';
import type { Config } from '../src/config/config.ts';
import { formatCount, plural } from '../src/shared/text/text.ts';
import { sandboxAnswer, sessionAnswer, transferAnswer } from './answers.ts';
import { downloadArtefact } from './artefact.ts';
import { endCleanly } from './clean-end.ts';
import { fileServer } from './file-server.ts';
import { type Program, type Project, recognise } from './project.ts';
import { outcomeOf, programsIn, runToEnd } from './run-command.ts';
import type { Screen } from './screen.ts';
import { type Page, serveAndFetch } from './serve.ts';
import { DemoServer } from './server.ts';

const PORT = 8080;
const HOME = '/vercel/sandbox';

export interface Tour {
  /** Absolute, symlinks resolved. */
  directory: string;
  /** The target of downloads. */
  folder: string;
  config: Config;
  env: Record<string, string>;
  screen: Screen;
  signal: AbortSignal;
}

/**
 * Takes the project through a sandbox. Returns a sentence about failures of its own programs, or null.
 * @throws DemoError if the sandbox or the demo fails; the server has then been stopped as well
 */
export async function takeTour(tour: Tour): Promise<string | null> {
  const { directory, screen } = tour;
  const project = await recognise(directory);
  screen.title('sandbox-mcp demo', `${basename(directory)}: ${project.kind}`);
  const server = await timed(
    screen,
    'start the server',
    () => DemoServer.start({ cwd: directory, allowDir: tour.folder, env: tour.env }, tour.signal),
    (started) => `${started.name}, process ${started.process.pid}`,
  );
  try {
    return await inSandbox(server, project, tour);
  } finally {
    await server.close();
  }
}

async function inSandbox(server: DemoServer, project: Project, tour: Tour): Promise<string | null> {
  const { directory, screen, config } = tour;
  const sandbox = await timed(
    screen,
    'create a sandbox',
    () => server.call('sandbox_create', { ports: [PORT] }, sandboxAnswer),
    (made) => `${made.sandbox_id}, ${plural(made.vcpus, 'vcpu')}, ${formatCount(made.memory_mb)} MB`,
  );
  const { engine } = await server.call('session_info', {}, sessionAnswer);
  screen.note(`${engine.name}: ${engine.isolation}; network policy ${sandbox.network_policy.mode}`);
  for (const limit of engine.not_enforced) screen.note(limit);

  const cwd = posix.join(HOME, 'project');
  await timed(
    screen,
    `upload ${basename(directory)}`,
    () =>
      server.call(
        'sandbox_upload_file',
        { local_path: directory, remote_path: cwd, exclude: ['.git'] },
        transferAnswer,
      ),
    (sent) => `${plural(sent.files, 'file')}, ${plural(sent.bytes, 'byte')}`,
  );

  const programs = await programsIn(server, ['node', 'python3']);
  const able = project.needs === null || programs.includes(project.needs);
  const problems: string[] = [];
  if (!able) problems.push(`The sandbox has no ${project.needs}, because this machine's /usr has none.`);
  const run = async (title: string, program: Program): Promise<void> => {
    const ended = await step(screen, title, () => runToEnd(server, program, cwd, screen));
    const good = ended.value.exit_code === 0;
    screen.step(title, ended.ms, `${program.title}: ${outcomeOf(ended.value)}`, good);
    if (!good) problems.push(`Step "${title}": ${program.title} ended with ${outcomeOf(ended.value)}.`);
  };
  if (able && project.test !== null) await run('run its tests', project.test);
  else await run('list its files', { title: 'ls -la', cmd: 'ls', args: ['-la'] });
  if (able && project.build !== null) await run('build it', project.build);

  const page = await servePage(server, able ? project.start : null, fileServer(programs, PORT), tour, cwd);
  if (page === null) screen.note('the sandbox has no program that can serve a page');
  await timed(
    screen,
    'download an artefact',
    () => downloadArtefact(server, cwd, project.artefacts, tour.folder),
    (got) =>
      `${got.remotePath.replace(`${cwd}/`, '')}: ${plural(got.bytes, 'byte')}, ` +
      (got.sha256 === null ? plural(got.files, 'file') : `sha256 ${got.sha256.slice(0, 12)}… checked`),
  );
  const hostPorts = sandbox.ports.flatMap(({ url }) => (url === null ? [] : [Number(new URL(url).port)]));
  const subject = { sandboxId: sandbox.sandbox_id, stateDir: config.stateDir, hostPorts };
  await endCleanly(server, subject, screen, config.retentionMs);
  return problems.length === 0 ? null : problems.join(' ');
}

/** The project's own server if it answers, else the fallback. */
async function servePage(
  server: DemoServer,
  own: Program | null,
  spare: Program | null,
  { screen, signal }: Tour,
  cwd: string,
): Promise<Page | null> {
  for (const program of [own, spare]) {
    if (program === null) continue;
    const title = 'serve it, fetch a page';
    const fetched = await step(screen, title, () =>
      serveAndFetch(server, program, { cwd, port: PORT }, signal),
    );
    const page = fetched.value;
    if (page === null) {
      screen.note(`${program.title}: nothing listens on port ${PORT}`);
      continue;
    }
    screen.step(
      title,
      fetched.ms,
      `${page.url}: ${page.status}, ${plural(page.bytes, 'byte')}, "${page.heading}"`,
    );
    return page;
  }
  return null;
}

async function timed<Result>(
  screen: Screen,
  title: string,
  work: () => Promise<Result>,
  outcome: (result: Result) => string,
): Promise<Result> {
  const { value, ms } = await step(screen, title, work);
  screen.step(title, ms, outcome(value));
  return value;
}

/** Measures the duration. A failure is shown as a separate step before it is rethrown. */
async function step<Result>(
  screen: Screen,
  title: string,
  work: () => Promise<Result>,
): Promise<{ value: Result; ms: number }> {
  const started = performance.now();
  try {
    return { value: await work(), ms: performance.now() - started };
  } catch (error) {
    screen.step(title, performance.now() - started, 'failed', false);
    throw error;
  }
}

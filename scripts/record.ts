/**
 * `npm run record`: runs demo/session.ts with the real server in a separate terminal (`script` of util-linux)
 * and records it: docs/first-session.cast, an asciicast, and docs/first-session.svg, the picture in the
 * README.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventsOf, formatCast, parseCast, type Recording } from './record/asciicast.ts';
import { renderSvg } from './record/svg.ts';

const ROOT = join(import.meta.dirname, '..');
const WIDTH = 116;
const HEIGHT = 48;
const IDLE_LIMIT_S = 1.2;
const COMMAND = `stty cols ${WIDTH} rows ${HEIGHT}; exec node --import tsx demo/session.ts`;

const folder = await mkdtemp(join(tmpdir(), 'sandbox-mcp-record-'));
try {
  const [timing, output] = [join(folder, 'timing'), join(folder, 'output')];
  const args = ['--quiet', '--return', '--log-timing', timing, '--log-out', output, '--command', COMMAND];
  const { status, error } = spawnSync('script', args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) throw new Error(`record: cannot run script (util-linux): ${error.message}`);
  if (status !== 0) throw new Error(`record: the session failed with exit code ${status}`);
  const recording: Recording = {
    width: WIDTH,
    height: HEIGHT,
    title: 'A first session with sandbox-mcp',
    idleLimit: IDLE_LIMIT_S,
    events: eventsOf(await readFile(timing, 'utf8'), await readFile(output)),
  };
  const cast = formatCast(recording);
  await writeFile(join(ROOT, 'docs/first-session.cast'), cast);
  // Drawn from the file's text, with its rounded times.
  await writeFile(join(ROOT, 'docs/first-session.svg'), await renderSvg(parseCast(cast)));
} finally {
  await rm(folder, { recursive: true, force: true });
}

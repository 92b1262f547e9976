// Runs a command as on a machine that has one container runtime alone, for example
// `node scripts/with-runtime.mjs runc npm test`.
//
// In a mount namespace of its own, a file that cannot be executed covers the other runtime, so that nothing
// changes for other programs of the machine.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const RUNTIMES = ['crun', 'runc'];
const DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const COVER = 'for path in $COVERED; do mount --bind /dev/null "$path"; done; exec "$@"';

function pathsOf(program) {
  return DIRECTORIES.map((directory) => `${directory}/${program}`).filter((path) => existsSync(path));
}

function refuse(reason) {
  console.error(`with-runtime: ${reason}; usage: node scripts/with-runtime.mjs crun|runc COMMAND…`);
  process.exit(2);
}

const [runtime = '', ...command] = process.argv.slice(2);
if (!RUNTIMES.includes(runtime)) refuse(`unknown runtime "${runtime}"`);
if (command.length === 0) refuse('no command');
if (process.getuid?.() !== 0) refuse('needs root, to cover the other runtime');
if (pathsOf(runtime).length === 0) refuse(`${runtime} is not installed`);

const covered = RUNTIMES.filter((name) => name !== runtime).flatMap(pathsOf);
const { status, error } = spawnSync('unshare', ['--mount', 'sh', '-ec', COVER, 'sh', ...command], {
  stdio: 'inherit',
  env: { ...process.env, COVERED: covered.join(' ') },
});
if (error !== undefined) throw error;
process.exitCode = status ?? 1;

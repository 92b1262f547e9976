// Runs the tests as a slow, busy machine would: `npm run test:slow -- [files…] [-t NAME] [--seed N]`.
//
// The tests and the sandboxes they make share half a core (a cgroup quota). Outside of the quota `stress`
// keeps every core busy. The page cache is dropped again and again, so that programs and files are read from
// disk again.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync, rmdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const CGROUPS = '/sys/fs/cgroup';
const NAME = 'slow-tests-';
const PERIOD_US = 100_000;
const QUOTA_US = 50_000;
const DROP_CACHES = '/proc/sys/vm/drop_caches';
const DROP_EVERY_MS = 10_000;
/**
 * How often, and at which interval, removing the cgroup is retried: its last processes may still be ending.
 */
const REMOVALS = 100;
const BETWEEN_REMOVALS_MS = 100;

const isRoot = process.getuid?.() === 0;

function say(line) {
  console.error(`test:slow: ${line}`);
}

/** Creates a cgroup with half a core. Null, after printing the reason, if that is not possible. */
function makeCgroup() {
  const version2 = existsSync(join(CGROUPS, 'cgroup.controllers'));
  const parent = version2 ? CGROUPS : join(CGROUPS, 'cpu');
  try {
    removeOldCgroups(parent);
    const path = join(realpathSync(parent), `${NAME}${process.pid}`);
    mkdirSync(path);
    if (version2) writeFileSync(join(path, 'cpu.max'), `${QUOTA_US} ${PERIOD_US}`);
    else {
      writeFileSync(join(path, 'cpu.cfs_period_us'), String(PERIOD_US));
      writeFileSync(join(path, 'cpu.cfs_quota_us'), String(QUOTA_US));
    }
    if (version2)
      say('half a core for the tests; with cgroups of version 2 their sandboxes are outside of the quota');
    else say('half a core for the tests and their sandboxes');
    return { path, parent: realpathSync(parent), version2 };
  } catch (error) {
    say(`no CPU quota (${error.message}): it needs root and a cpu cgroup. Applying the load only`);
    return null;
  }
}

/** Removes those of runs that were killed. */
function removeOldCgroups(parent) {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(NAME) || existsSync(`/proc/${name.slice(NAME.length)}`)) continue;
    try {
      rmdirSync(join(parent, name));
    } catch {
      say(`${join(parent, name)} of an earlier run is still in use`);
    }
  }
}

async function removeCgroup({ path }) {
  for (let left = REMOVALS; left > 0; left--) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if (error.code === 'ENOENT') return;
      await delay(BETWEEN_REMOVALS_MS);
    }
  }
  say(`could not remove ${path}; something still runs in it`);
}

/**
 * Keeps every core busy. `stress` is the first process of a PID namespace, so that its children end with it,
 * and it ends with this process, however this one ends.
 */
function startLoad() {
  const inNamespace = ['unshare', '--pid', '--fork', '--kill-child', 'stress', '--quiet', '--cpu'];
  const asRoot = ['setpriv', '--pdeathsig', 'KILL', ...inNamespace, String(availableParallelism())];
  const [program, ...args] = isRoot ? asRoot : ['unshare', '--user', '--map-root-user', ...asRoot];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  child.on('error', (error) => say(`no CPU load: ${error.message}`));
  child.on('exit', (code) => {
    if (code !== null && code !== 0) say(`no CPU load: ${args.join(' ')} ended with ${code}`);
  });
  return child;
}

/** Where permitted, keeps dropping the page cache. */
function startDroppingCaches() {
  const drop = () => writeFileSync(DROP_CACHES, '3');
  try {
    drop();
  } catch (error) {
    say(`caches are not dropped: ${error.message}`);
    return undefined;
  }
  return setInterval(drop, DROP_EVERY_MS);
}

/** Starts the tests, in the cgroup if there is one. They end with this process. */
function startTests(cgroup, selected, seed) {
  const vitest = [
    process.execPath,
    join(ROOT, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--maxWorkers=2',
    ...selected,
  ];
  const env = { ...process.env, TEST_TIMEOUT_FACTOR: '10', ...(seed === undefined ? {} : { SEED: seed }) };
  const confined =
    cgroup === null
      ? vitest
      : ['unshare', '--mount', 'sh', '-ec', enterScript(cgroup), 'sh', cgroup.path, cgroup.parent, ...vitest];
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...confined], { stdio: 'inherit', env, cwd: ROOT });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

/**
 * The tests see the cgroup as the root of the hierarchy, so that the cgroups of sandboxes are created below
 * it.
 */
function enterScript({ version2 }) {
  const cover = version2 ? '' : 'mount --bind "$1" "$2";';
  return `echo $$ > "$1/cgroup.procs"; ${cover} shift 2; exec "$@"`;
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        seed: { type: 'string' },
        project: { type: 'string' },
        testNamePattern: { type: 'string', short: 't' },
      },
      allowPositionals: true,
    });
  } catch (error) {
    say(`${error.message}; usage: npm run test:slow -- [files…] [-t NAME] [--seed N]`);
    process.exit(2);
  }
}

/** The arguments of vitest. */
function selection({ project, testNamePattern }, files) {
  const options = Object.entries({ project, testNamePattern }).filter(([, value]) => value !== undefined);
  return [...files, ...options.map(([name, value]) => `--${name}=${value}`)];
}

const { values, positionals } = readArguments();
if (process.platform !== 'linux') {
  say('needs Linux, for cgroups');
  process.exit(1);
}
const cgroup = makeCgroup();
const load = startLoad();
const dropping = startDroppingCaches();
// The tests are in the same process group and receive these signals as well; this process waits for them, and
// cleans up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
try {
  process.exitCode = await startTests(cgroup, selection(values, positionals), values.seed);
} finally {
  clearInterval(dropping);
  load.kill('SIGKILL');
  if (cgroup !== null) await removeCgroup(cgroup);
}

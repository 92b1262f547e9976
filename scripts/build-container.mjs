// Builds the container image of the package as it is published:
//
//   node scripts/build-container.mjs docker --tag sandbox-mcp:dev     or podman, or buildah
//
// `--package FILE` takes what `npm pack` has written instead of packing. Further arguments are those of the program's
// `build`, such as --build-arg BASE=IMAGE. Only apt and npm need a network.
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PROGRAMS = ['docker', 'podman', 'buildah'];

function run(program, args, options = {}) {
  const { status, error, stdout } = spawnSync(program, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'inherit', 'inherit'],
    ...options,
  });
  if (status !== 0)
    throw new Error(`${program} ${args[0]} failed: ${error?.message ?? `exit code ${status}`}`);
  return stdout;
}

/** Puts the packed package into the context; returns its name there. */
async function addPackage(context, given) {
  if (given !== undefined) {
    await cp(given, join(context, basename(given)));
    return basename(given);
  }
  const stdio = ['ignore', 'pipe', 'inherit'];
  const packed = run('npm', ['pack', '--silent', '--pack-destination', context], { stdio });
  return packed.trim().split('\n').at(-1);
}

const [program, ...rest] = process.argv.slice(2);
const given = rest[0] === '--package' ? rest[1] : undefined;
const buildArgs = given === undefined ? rest : rest.slice(2);
if (!PROGRAMS.includes(program)) {
  console.error(`build-container: name the program that builds: ${PROGRAMS.join(', ')}`);
  process.exit(2);
}
const context = await mkdtemp(join(tmpdir(), 'image-'));
try {
  await cp(join(ROOT, 'container'), context, { recursive: true });
  const name = await addPackage(context, given);
  run(program, ['build', '--build-arg', `PACKAGE=${name}`, ...buildArgs, context]);
} catch (error) {
  console.error(`build-container: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await rm(context, { recursive: true, force: true });
}

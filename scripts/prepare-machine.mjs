// Prepares this machine for tests, demo and bench: builds, and installs what the `oci` engine needs to run
// sandboxes. As root it installs what is missing; for other users it prints the command to run and exits with
// code 1.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AGENT_COMPILERS, buildAgents } from './build-agents.mjs';
import { buildJavaScript } from './build-javascript.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs `sandbox-mcp doctor`. `quiet` hides its findings. */
function doctor(args, { quiet }) {
  const stdio = quiet ? 'ignore' : ['ignore', 2, 2];
  return spawnSync(process.execPath, [join(ROOT, 'dist/main.js'), 'doctor', ...args], { stdio }).status === 0;
}

async function agentsAreBuilt() {
  try {
    await buildAgents({ release: false });
    return true;
  } catch {
    // Most likely there is no compiler yet, which the doctor fixes.
    return false;
  }
}

/**
 * What the tests need beyond what a user needs: both runtimes, ordinary users with a range of ids, root file
 * systems to import, and sources of every kind, downloaded and served here. busybox has to be the static one,
 * which cannot be told from its name.
 */
const TESTED_PROGRAMS = {
  crun: 'crun',
  runc: 'runc',
  newuidmap: 'uidmap',
  bindfs: 'bindfs',
  busybox: 'busybox-static',
  mmdebstrap: 'mmdebstrap',
  git: 'git',
  curl: 'curl',
  wget: 'wget',
  xz: 'xz-utils',
  zstd: 'zstd',
  openssl: 'openssl',
  setcap: 'libcap2-bin',
  'mkfs.ext4': 'e2fsprogs',
  skopeo: 'skopeo',
  umoci: 'umoci',
  buildah: 'buildah',
  'docker-registry': 'docker-registry',
  nginx: 'nginx-light',
  caddy: 'caddy',
  'redis-server': 'redis-server',
  stress: 'stress',
  ...crossCompiler(),
};

/** Compiles the agent of the other architecture, which the packed package includes. */
function crossCompiler() {
  const other = process.arch === 'arm64' ? 'x64' : 'arm64';
  return { [AGENT_COMPILERS[other].cross]: AGENT_COMPILERS[other].packages };
}

/** What `npm run test:container` needs in addition. */
const CONTAINER_PROGRAMS = { dockerd: 'docker.io', docker: 'docker.io', podman: 'podman' };

function installPrograms(programs) {
  const missing = Object.entries(programs).filter(([program]) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap(([, names]) => names.split(' ')))];
  if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
    console.error(`prepare: some tests will be skipped; they need: ${packages.join(' ')}`);
    return;
  }
  console.error(`prepare: installing what the tests try: ${packages.join(' ')}`);
  for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...packages]]) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    if (spawnSync('apt-get', ['--quiet', ...args], { stdio: ['ignore', 2, 2], env }).status !== 0) {
      throw new Error(`apt-get ${args.join(' ')} failed`);
    }
  }
}

function isInstalled(program) {
  return ['/usr/bin', '/usr/sbin', '/bin', '/sbin'].some((dir) => existsSync(join(dir, program)));
}

try {
  await buildJavaScript();
  if (!((await agentsAreBuilt()) && doctor([], { quiet: true }))) {
    console.error('prepare: this machine is not ready for sandboxes yet; preparing it');
    // It checks again after fixing, so that its report describes the machine's final state.
    if (!doctor(['--fix'], { quiet: false })) throw new Error('sandboxes do not work here; see above');
    await buildAgents({ release: false });
  }
  if (process.argv.includes('--tests')) installPrograms(TESTED_PROGRAMS);
  if (process.argv.includes('--container')) installPrograms(CONTAINER_PROGRAMS);
} catch (error) {
  console.error(`prepare: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

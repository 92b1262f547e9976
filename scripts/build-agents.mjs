// Compiles the agent of the `oci` engine: dist/agent-x64 and dist/agent-arm64, static Linux programs.
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** By architecture: its cross compiler, and the Debian packages that contain it. */
export const AGENT_COMPILERS = {
  x64: { cross: 'x86_64-linux-gnu-gcc', packages: 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross' },
  arm64: { cross: 'aarch64-linux-gnu-gcc', packages: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' },
};

/**
 * Compiles for this machine, or for every architecture if `release` is set. Throws if a compiler is missing,
 * naming the package that provides it.
 */
export async function buildAgents({ release }) {
  if (process.platform !== 'linux' && !release) {
    console.error(`build: the agent is a Linux program and is left out on ${process.platform}`);
    return;
  }
  const { buildAgent } = await import('../agent/build.mjs');
  await mkdir(join(ROOT, 'dist'), { recursive: true });
  for (const arch of release ? Object.keys(AGENT_COMPILERS) : [process.arch]) {
    const cc = compilerFor(arch);
    await buildAgent({ outFile: join(ROOT, `dist/agent-${arch}`), cc });
  }
}

function compilerFor(arch) {
  const native = process.platform === 'linux' && process.arch === arch;
  const compiler = native ? 'cc' : AGENT_COMPILERS[arch].cross;
  if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0) return compiler;
  const packages = native ? 'gcc libc6-dev' : AGENT_COMPILERS[arch].packages;
  throw new Error(
    `the agent for ${arch} needs the compiler ${compiler}; on Debian and Ubuntu: apt-get install --no-install-recommends ${packages}`,
  );
}

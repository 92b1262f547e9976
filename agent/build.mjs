/** Compiles the agent: one static C program, rebuilt only when a source is newer than the result. */
import { execFile } from 'node:child_process';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** What every compilation of the agent's sources needs, for tests that link some of them with a driver. */
export const SOURCE_FLAGS = ['-std=gnu11', '-D_GNU_SOURCE', `-I${folder}`];
const WARNINGS = ['-Wall', '-Wextra', ...(process.env['CI'] ? ['-Werror'] : [])];
// Position-independent code at random addresses although nothing is linked dynamically, stack canaries,
// checked libc calls (FORTIFY needs -O2), relocations that are read-only before main, and no executable
// stack.
const HARDENING = [
  '-O2',
  '-fPIE',
  '-static-pie',
  '-fstack-protector-strong',
  '-U_FORTIFY_SOURCE',
  '-D_FORTIFY_SOURCE=2',
  '-Wl,-z,relro,-z,now,-z,noexecstack',
];

/**
 * @param {string} path
 * @returns {Promise<number>} modification time in milliseconds, 0 if it does not exist
 */
async function modifiedAt(path) {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return 0;
  }
}

/** @returns {Promise<string[]>} absolute paths of all sources and headers, sorted */
export async function agentFiles() {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/**
 * @param {{ outFile: string, cc?: string, extraFlags?: string[] }} options `cc` may hold arguments (`zig cc`)
 * @returns {Promise<boolean>} whether it was compiled
 */
export async function buildAgent({ outFile, cc = 'cc', extraFlags = [] }) {
  const inputs = await agentFiles();
  const newest = Math.max(...(await Promise.all(inputs.map(modifiedAt))));
  if ((await modifiedAt(outFile)) >= newest) return false;
  const [command = 'cc', ...args] = cc.split(' ');
  const sources = inputs.filter((path) => path.endsWith('.c'));
  // Compiled under a temporary name, then renamed: a concurrent start gets the old agent, never a partial
  // file.
  const partial = `${outFile}.${process.pid}.new`;
  try {
    await promisify(execFile)(command, [
      ...args,
      ...SOURCE_FLAGS,
      ...WARNINGS,
      ...HARDENING,
      ...extraFlags,
      '-o',
      partial,
      ...sources,
    ]);
    await rename(partial, outFile);
  } finally {
    await rm(partial, { force: true });
  }
  return true;
}

/** Installs a client into a folder of its own, next to the programs that drive it. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * The folder below `root` with these packages, which are installed unless they are there already. `scripts`
 * allows the packages' own install scripts.
 */
export async function installPackages(
  root: string,
  name: string,
  packages: readonly string[],
  { scripts = false } = {},
): Promise<string> {
  const folder = join(root, name);
  const stamp = join(folder, 'installed.json');
  await mkdir(folder, { recursive: true });
  const wanted = JSON.stringify(packages);
  const installed = await readFile(stamp, 'utf8').catch(() => '');
  if (installed !== wanted) {
    await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
    const flags = ['--no-audit', '--no-fund', '--save-exact', ...(scripts ? [] : ['--ignore-scripts'])];
    await run('npm', ['install', ...flags, ...packages], { cwd: folder, maxBuffer: 64 * 1_048_576 });
    await writeFile(stamp, wanted);
  }
  return folder;
}

/** Copies the programs that drive a client into its folder, so that they find its packages. */
export async function copyDrivers(folder: string): Promise<void> {
  for (const name of ['host.mjs', 'drivers']) {
    await cp(join(import.meta.dirname, name), join(folder, name), { recursive: true });
  }
}

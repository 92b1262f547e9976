// Checks the layout of the C sources against .clang-format, where clang-format is installed.
//
//   node scripts/check-c-format.mjs          names each file that differs; in root's CI run, a missing
//                                            clang-format is an error
//   node scripts/check-c-format.mjs --fix    formats them in place
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FOLDERS = ['agent', 'test/agent'];
// A fixed version, since versions format some lines differently. Debian and Ubuntu package it.
const PROGRAM = 'clang-format-14';

if (spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' }).status !== 0) {
  // An ordinary user cannot install it; the CI run as root has it.
  const isRequired = Boolean(process.env['CI']) && process.getuid?.() === 0;
  console.error(`check: C sources not checked; needs ${PROGRAM} (apt-get install ${PROGRAM})`);
  process.exit(isRequired ? 1 : 0);
}
const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => /\.[ch]$/.test(name))
    .map((name) => join(folder, name)),
);
const mode = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '--Werror'];
const { status } = spawnSync(PROGRAM, [...mode, ...files], { cwd: ROOT, stdio: 'inherit' });
process.exit(status ?? 1);

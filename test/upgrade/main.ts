/**
 * `npm run test:upgrade -- COMMIT…`: builds each of these commits, lets its server make sandboxes and dies with it,
 * and works in them with the server of this tree. Fails if anything is lost.
 */
import { parseArgs } from 'node:util';
import { buildOther } from '../../bench/other-build.ts';
import { upgradeFrom } from './upgrade.ts';

const USAGE = 'usage: npm run test:upgrade -- COMMIT…   (for example the one that is installed)';
const { positionals: commits } = parseArgs({ allowPositionals: true });
if (commits.length === 0) throw new Error(USAGE);
const say = (line: string) => process.stdout.write(`${line}\n`);

for (const commit of commits) {
  say(`from ${commit}`);
  const build = await buildOther(commit);
  try {
    await upgradeFrom(build.dist, (step) => say(`  ${step}`));
  } finally {
    await build.remove();
  }
}

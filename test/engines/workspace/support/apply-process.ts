/**
 * Applies a fixed set of changes, and ends itself with SIGKILL at a step: `apply-process.ts HOME STEP`. Prints
 * `done` and the number of steps if it comes to the end.
 */
import { applyChanges } from '../../../../src/engines/workspace/apply.ts';
import { CHANGES } from './changes.ts';
import { openSides } from './open-sides.ts';

const [home = '', step = ''] = process.argv.slice(2);
const sides = await openSides(home);
let steps = 0;
await applyChanges(sides, CHANGES, new AbortController().signal, () => {
  if (steps === Number(step)) process.kill(process.pid, 'SIGKILL');
  steps += 1;
});
await sides.close();
process.stdout.write(`done ${steps}\n`);

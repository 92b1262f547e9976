/**
 * Applies a fixed set of changes in each of the directories `at-0`, `at-1`… of `apply-process.ts ROOT COUNT`: up to
 * the step of that number. Once all of them have come to theirs, the process ends itself with SIGKILL.
 */
import { join } from 'node:path';
import { applyChanges } from '../../../../src/engines/workspace/apply.ts';
import { CHANGES } from './changes.ts';
import { openSides } from './open-sides.ts';

const [root = '', count = ''] = process.argv.slice(2);
/** Held, so that what waits is not collected as garbage, which would close its files. */
const waiting: (() => void)[] = [];

async function applyUntil(step: number): Promise<void> {
  const sides = await openSides(join(root, `at-${step}`));
  let steps = 0;
  await applyChanges(sides, CHANGES, new AbortController().signal, async () => {
    if (steps === step) {
      if (waiting.length + 1 === Number(count)) process.kill(process.pid, 'SIGKILL');
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    steps += 1;
  });
  process.stdout.write(`step ${step} was never reached\n`);
}

await Promise.all(Array.from({ length: Number(count) }, (_, step) => applyUntil(step)));

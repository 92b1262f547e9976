/**
 * `npm run torture [-- --minutes 10 --seed 7 --sessions 3 --fault "full disk" --fault SIGKILL]`: prints what was
 * done, and fails if a promise was broken. The first SIGINT or SIGTERM ends it after its round.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { FAULTS } from './faults.ts';
import { torture } from './torture.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    sessions: { type: 'string', default: '3' },
    fault: { type: 'string', multiple: true, default: FAULTS.map(({ name }) => name) },
  },
});
const [seed, minutes, sessions] = [values.seed, values.minutes, values.sessions].map(Number);
if (seed === undefined || !minutes || !sessions || !Number.isSafeInteger(seed))
  throw new Error('--seed, --minutes and --sessions take numbers');
const { fault: faults } = values;
const unknown = faults.filter((wanted) => !FAULTS.some(({ name }) => name === wanted));
if (unknown.length > 0) throw new Error(`there is no fault "${unknown.join('", "')}"`);
let until = performance.now() + minutes * 60_000;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (until = 0));
process.stdout.write(`seed ${seed}, ${minutes} minutes, ${sessions} sessions\n`);

const report = await torture({
  seed,
  sessions,
  faultsPerRound: 6,
  faults,
  another: () => performance.now() < until,
  notify: (line) => void process.stdout.write(`${line}\n`),
});
process.stdout.write(`${report}\n`);
process.exitCode = report.violations.length === 0 ? 0 : 1;

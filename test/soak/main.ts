/**
 * `npm run soak [-- --sessions 200 --rounds 3 --log FILE]`: prints what became of the calls, and fails if a promise
 * was broken. FILE gets the log of the server.
 */
import { parseArgs } from 'node:util';
import { MEMORY_FACTOR, soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '3' },
    log: { type: 'string' },
  },
});
const [sessions, rounds] = [Number(values.sessions), Number(values.rounds)];
if (!(sessions > 0) || !(rounds > 0)) throw new Error('--sessions and --rounds take numbers');

const { calls, violations, memoryMb } = await soak({
  sessions,
  rounds,
  logFile: values.log,
  notify: (line) => void process.stdout.write(`${line}\n`),
});
const [start = 0] = memoryMb;
const most = Math.max(...memoryMb);
if (most > MEMORY_FACTOR * start)
  violations.push(`memory grew from ${start.toFixed(0)} to ${most.toFixed(0)} MB`);
for (const [kind, count] of calls) process.stdout.write(`calls ${kind}: ${count}\n`);
process.stdout.write(`memory: ${memoryMb.map((value) => value.toFixed(0)).join(', ')} MB\n`);
for (const violation of violations) process.stdout.write(`violation: ${violation}\n`);
process.exitCode = violations.length === 0 ? 0 : 1;

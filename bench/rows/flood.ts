/** A program that writes 1 GB: its throughput, and its cost for the server. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { execLine, openRuntimes } from '../bare-runtime.ts';
import type { Row } from '../row.ts';

const BYTES = 1_073_741_824;
const FLOOD = ['sh', '-c', `head -c ${BYTES} /dev/zero | tr '\\0' x`];
const flooded = z.object({
  exit_code: z.literal(0),
  stdout_bytes: z.literal(BYTES),
  truncated: z.literal(true),
});

export const flood: Row = {
  name: 'flood',
  title: 'a program that writes 1 GB, from the call to the answer',
  bytes: BYTES,
  warmUps: 1,
  runs: 5,
  async open(dist) {
    const runtimes = await openRuntimes(dist);
    const [first] = runtimes;
    const sandbox_id = await first.server.create();
    const before = memoryMb(first.server.pid, 'VmRSS');
    const contenders = [
      {
        label: 'sandbox-mcp, one tool call',
        run: async () => {
          const [cmd, ...args] = FLOOD;
          const started = performance.now();
          flooded.parse(await first.server.call('sandbox_run_command', { sandbox_id, cmd, args }));
          return performance.now() - started;
        },
      },
    ];
    for (const runtime of runtimes) {
      const id = runtime === first ? sandbox_id : await runtime.server.create();
      const argv = execLine(runtime, id, FLOOD);
      contenders.push({
        label: `${runtime.label} exec | cat > /dev/null`,
        run: async () => (await runtime.spawner.run(argv, 'cat')).ms,
      });
    }
    return {
      contenders,
      async after() {
        const after = memoryMb(first.server.pid, 'VmRSS');
        const peak = memoryMb(first.server.pid, 'VmHWM');
        for (const runtime of runtimes) await runtime.close();
        return [
          `memory of the server (resident): ${before} MB before, ${after} MB at the end, ${peak} MB at most`,
        ];
      },
    };
  },
};

/** A value from proc(5): `VmRSS` is the current resident set, `VmHWM` its peak. */
function memoryMb(pid: number, name: 'VmRSS' | 'VmHWM'): string {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return match ? String(Math.round(Number(match[1]) / 1_024)) : 'unknown';
}

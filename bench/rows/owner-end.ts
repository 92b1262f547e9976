/** The end of a server with this many sandboxes, up to the last process in them gone. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { untilSleepers } from '../until-processes.ts';

const UNLIMITED = ['--max-sandboxes', '1000', '--max-vcpus', '1000'];

export function ownerEndRow(count: number, runs: number): Row {
  let seconds = 200_000 + (process.pid % 10_000) * 1_000;

  /** A new server with its sandboxes, each of which runs a program, and how long they outlive `end`. */
  async function timed(dist: string, end: (pid: number) => void): Promise<number> {
    const mark = seconds++;
    const server = await openServer(dist, 'auto', UNLIMITED);
    try {
      for (let made = 0; made < count; made++) {
        const sandbox_id = await server.create();
        const args = [String(mark)];
        await server.call('sandbox_run_command_detached', { sandbox_id, cmd: 'sleep', args });
      }
      await untilSleepers(mark, (running) => running === count);
      const before = performance.now();
      end(server.pid);
      await untilSleepers(mark, (running) => running === 0);
      return performance.now() - before;
    } finally {
      // A killed server leaves files and empty cgroups to its next start.
      const argv = [join(dist, 'main.js'), '--state-dir', server.stateDir, 'clean'];
      await promisify(execFile)(process.execPath, argv);
      await server.close();
    }
  }

  return {
    name: `owner-end-${count}`,
    title: `the end of a server with ${count} sandbox${count === 1 ? '' : 'es'}, to the last process in them gone`,
    warmUps: 0,
    runs,
    async open(dist) {
      return {
        contenders: [
          { label: 'SIGKILL: sandboxes notice by themselves', run: () => timed(dist, kill('SIGKILL')) },
          { label: 'SIGTERM: the session ends', run: () => timed(dist, kill('SIGTERM')) },
        ],
        after: () => Promise.resolve([]),
      };
    },
  };
}

function kill(signal: NodeJS.Signals): (pid: number) => void {
  return (pid) => {
    process.kill(pid, signal);
  };
}

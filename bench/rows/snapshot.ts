/** A snapshot of a sandbox that holds this much, and a sandbox created from it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';

const snapshotted = z.object({ snapshot_id: z.string() });
const created = z.object({ sandbox_id: z.string() });
const succeeded = z.object({ exit_code: z.literal(0) });

/**
 * The kernel is still writing back what the preparation wrote, and any record's flush would wait for that:
 * finish it first, as it would be for files that are half a minute old.
 */
const quiet = () => promisify(execFile)('sync');

/** @param megabytes of 1,000,000 bytes, written to one file */
export function snapshotRow(name: string, megabytes: number, runs: number): Row {
  return {
    name,
    title: `${megabytes.toLocaleString('en')} MB in a sandbox: sandbox_snapshot, and sandbox_create from it`,
    warmUps: megabytes > 1_000 ? 0 : 1,
    runs,
    async open(dist) {
      const server = await openServer(dist);
      let snapshotId: string | null = null;
      const take = async () => {
        const sandbox_id = await server.create();
        const script = `head -c ${megabytes}000000 /dev/zero > data`;
        const args = { sandbox_id, cmd: 'sh', args: ['-c', script], wait_ms: 55_000 };
        succeeded.parse(await server.call('sandbox_run_command', args));
        if (snapshotId !== null) await server.call('snapshot_delete', { snapshot_id: snapshotId });
        await quiet();
        const started = performance.now();
        const answer = await server.call('sandbox_snapshot', { sandbox_id });
        const taken = performance.now() - started;
        snapshotId = snapshotted.parse(answer).snapshot_id;
        return taken;
      };
      const restore = async () => {
        const source = { type: 'snapshot', snapshot_id: snapshotId };
        await quiet();
        const started = performance.now();
        const answer = await server.call('sandbox_create', { source, resources: { vcpus: 1 } });
        const taken = performance.now() - started;
        const { sandbox_id } = created.parse(answer);
        const args = ['-c', `test "$(stat -c %s data)" = ${megabytes}000000`];
        succeeded.parse(await server.call('sandbox_run_command', { sandbox_id, cmd: 'sh', args }));
        await server.call('sandbox_stop', { sandbox_id });
        return taken;
      };
      return {
        contenders: [
          { label: 'sandbox_snapshot', run: take },
          { label: 'sandbox_create from it', run: restore },
        ],
        async after() {
          await server.close();
          return [
            'Each begins once the disk has what was written before (`sync`).',
            'The last column but one compares the two with each other.',
          ];
        },
      };
    },
  };
}

/** Files of any size are streamed through the server, not held in memory. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';

/** Set `TRANSFER_GIB=5` for a longer run. */
const GIB = Number(process.env['TRANSFER_GIB'] ?? '0.5');
const BYTES = GIB * 1_073_741_824;
/** For buffers in flight and memory not yet garbage collected: far below the size of the file. */
const MOST_MB = 192;
const TIME_MS = 60_000 + GIB * 60_000;

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
  // Loads the code that every transfer needs.
  await server.call('sandbox_write_files', { files: [{ path: 'small', content: 'x' }] });
  await server.call('sandbox_download_file', { remote_path: 'small', local_path: 'small' });
});
afterAll(() => server.close());

function status(name: 'VmRSS' | 'VmHWM'): number {
  const text = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1_024;
}

/** The server's peak memory during `work` above that before it, in MB (proc(5): `clear_refs`). */
async function peakGrowth(work: () => Promise<void>): Promise<number> {
  writeFileSync(`/proc/${server.pid}/clear_refs`, '5');
  const before = status('VmRSS');
  await work();
  return status('VmHWM') - before;
}

describe(`a file of ${GIB} GiB`, () => {
  it('is uploaded and downloaded with as little memory as a small one', { timeout: TIME_MS }, async () => {
    const local = join(server.cwd, 'large');
    const file = await open(local, 'w');
    await file.truncate(BYTES);
    await file.write('end', BYTES - 3);
    await file.close();
    const up = await peakGrowth(async () => {
      const args = { local_path: 'large', remote_path: 'large' };
      const answer = await server.call('sandbox_upload_file', args, { timeout: TIME_MS });
      expect(answer.structured).toMatchObject({ files: 1, bytes: BYTES });
    });
    await rm(local);
    const check = ['-c', 'stat -c %s large; tail -c 3 large'];
    const inside = await server.call('sandbox_run_command', { cmd: 'sh', args: check });
    expect(inside.structured['stdout']).toBe(`${BYTES}\nend`);
    const down = await peakGrowth(async () => {
      const args = { remote_path: 'large', local_path: 'back' };
      const answer = await server.call('sandbox_download_file', args, { timeout: TIME_MS });
      expect(answer.structured).toMatchObject({ files: 1, bytes: BYTES });
    });
    expect(statSync(join(server.cwd, 'back')).size).toBe(BYTES);
    expect(Math.max(up, down)).toBeLessThan(MOST_MB);
  });

  it('is read in parts, from any offset, with the memory of one part', { timeout: TIME_MS }, async () => {
    await server.call('sandbox_run_command', { cmd: 'truncate', args: ['-s', String(BYTES), 'sparse'] });
    const growth = await peakGrowth(async () => {
      for (const offset of [0, BYTES / 2, BYTES - 4]) {
        const args = { path: 'sparse', offset, limit: 4, encoding: 'base64' };
        const answer = await server.call('sandbox_read_file', args);
        expect(answer.structured).toMatchObject({ size_bytes: BYTES, content: 'AAAAAA==' });
      }
    });
    expect(growth).toBeLessThan(MOST_MB);
  });
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runVerb } from '../../support/run-verb.ts';
import { startServer } from '../../support/server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

it('clean removes everything left by a download whose server was killed', async () => {
  const stateDir = await temporaryFolder();
  const cwd = await temporaryFolder();
  const server = await startServer({ stateDir, cwd });
  try {
    await server.call('sandbox_create');
    // Takes longer than any test, and would not fit anywhere.
    const args = ['-c', 'mkdir tree; echo 1 > tree/a; truncate -s 4T tree/b'];
    await server.call('sandbox_run_command', { cmd: 'sh', args });
    const begun = new Promise<void>((resolve) => {
      const request = { remote_path: 'tree', local_path: 'tree' };
      const calling = server.call('sandbox_download_file', request, { onprogress: () => resolve() });
      calling.catch(() => 'the server is killed under it');
    });
    await begun;
    process.kill(server.pid, 'SIGKILL');
  } finally {
    await server.close();
  }
  expect(readdirSync(cwd)).toEqual([expect.stringMatching(/^\.tree\..*\.partial$/)]);
  const { code, err } = await runVerb(['clean', '--state-dir', stateDir]);
  expect([code, err]).toEqual([0, '']);
  expect(readdirSync(cwd)).toEqual([]);
  expect(readdirSync(join(stateDir, 'records/downloads'))).toEqual([]);
});

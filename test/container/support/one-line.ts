/** From a machine with Node to the first prompt: one line, and then only what a client does. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { z } from 'zod';
import { startEntry } from '../../scripts/support/entry-client.ts';
import { PATIENT } from '../../support/timeout-factor.ts';
import type { FreshDebian } from './fresh-debian.ts';
import type { PythonImage } from './python-image.ts';

const run = promisify(execFile);
const settingsSchema = z.object({
  mcpServers: z.object({ sandbox: z.object({ command: z.string(), args: z.array(z.string()) }) }),
});
const PROGRAM = 'import sys\nprint(sys.version.split()[0], open("/etc/motd").read(), 6 * 7)\n';

/** @param npm the address of a registry that has the package */
export async function oneLine(
  debian: FreshDebian,
  { python: { runtime, flags }, npm }: { python: PythonImage; npm: string },
): Promise<void> {
  const { home, command } = debian;
  await debian.write(`${home}/.npmrc`, `registry=${npm}\nupdate-notifier=false\n`);
  await debian.asRoot(`install -d -o "$(stat -c %u ${home})" -g "$(stat -c %g ${home})" ${home}/.cursor`);

  const line = ['npx', '-y', 'sandbox-mcp', ...flags, ...PATIENT, 'setup', '--yes'];
  const [program = '', ...args] = command(line);
  const { stdout, stderr } = await run(program, args, { maxBuffer: 1e8 });
  expect(stdout, stderr).toContain('Cursor: added');
  // It has installed what was missing.
  expect(stderr).toMatch(/doctor: running .*apt-get install /);
  expect(stdout).toContain('oci: works here');

  const text = await readFile(debian.path(`${home}/.cursor/mcp.json`), 'utf8');
  const { sandbox } = settingsSchema.parse(JSON.parse(text)).mcpServers;
  expect([sandbox.command, ...sandbox.args].slice(0, 3)).toEqual(['npx', '-y', 'sandbox-mcp']);
  const [start = '', ...rest] = command([sandbox.command, ...sandbox.args]);
  const server = await startEntry({ command: start, args: rest }, { PATH: process.env['PATH'] ?? '' });
  try {
    const volumes = [{ name: 'work', path: '/data' }];
    const made = await server.call('sandbox_create', { runtime, volumes });
    expect(made).toMatchObject({ status: 'running', runtime });
    await server.call('sandbox_write_files', { files: [{ path: '/data/app.py', content: PROGRAM }] });
    const answer = await server.call('sandbox_run_command', { cmd: runtime, args: ['/data/app.py'] });
    const expected = expect.stringMatching(/^3\.13\.\d+ pulled\n 42\n$/);
    expect(answer).toMatchObject({ exit_code: 0, stdout: expected });
    // At the session's end its files might be removed after the process has exited.
    await server.call('sandbox_stop', { blocking: true });
  } finally {
    await server.close();
  }
}

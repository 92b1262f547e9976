import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const MODULES = join(import.meta.dirname, '../src');

/** Runs a program that writes a trace, in a process of its own. */
function traceOf(program: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sandbox-mcp-trace-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'trace.json');
  const text = `
    import { writeTraceFile } from ${JSON.stringify(join(MODULES, 'trace-file.ts'))};
    import { publish, traced } from ${JSON.stringify(join(MODULES, 'shared/async/traced.ts'))};
    writeTraceFile(${JSON.stringify(file)});
    ${program}`;
  const argv = ['--import', 'tsx', '--input-type=module', '-e', text];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  return readFileSync(file, 'utf8');
}

it('is an array of complete events in microseconds, and bounded', () => {
  const text = traceOf(`
    await traced('engine', 'step', async () => {});
    for (let i = 0; i < 100_100; i++) publish('agent', 'another', 0);`);
  const events = z.array(z.looseObject({ ph: z.string() })).parse(JSON.parse(text));
  expect(events).toHaveLength(100_000);
  expect(events.slice(0, 2)).toEqual([
    expect.objectContaining({ ph: 'M', name: 'process_name' }),
    {
      ph: 'X',
      cat: 'engine',
      name: 'step',
      ts: expect.any(Number),
      dur: expect.any(Number),
      pid: expect.any(Number),
      tid: 0,
    },
  ]);
});

import { execFileSync, spawnSync } from 'node:child_process';
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { writeTraceFile } from '../src/trace-file.ts';

const MODULES = join(import.meta.dirname, '../src');

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sandbox-mcp-trace-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program that writes a trace, in a process of its own, in place of a file that everybody may read. */
function traceOf(program: string): string {
  const folder = newFolder();
  const [file, other] = [join(folder, 'trace.json'), join(folder, 'other')];
  writeFileSync(file, 'kept', { mode: 0o644 });
  linkSync(file, other);
  const text = `
    import { writeTraceFile } from ${JSON.stringify(join(MODULES, 'trace-file.ts'))};
    import { publish, traced } from ${JSON.stringify(join(MODULES, 'shared/async/traced.ts'))};
    writeTraceFile(${JSON.stringify(file)});
    ${program}`;
  const argv = ['--import', 'tsx', '--input-type=module', '-e', text];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  // Whoever has it open, or under another name, keeps the old one.
  expect(readFileSync(other, 'utf8')).toBe('kept');
  expect(readdirSync(folder).sort()).toEqual(['other', 'trace.json']);
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

it('is written neither through a link nor into a pipe', () => {
  const folder = newFolder();
  const [target, link, pipe] = [join(folder, 'target'), join(folder, 'link'), join(folder, 'pipe')];
  writeFileSync(target, 'kept');
  symlinkSync(target, link);
  execFileSync('mkfifo', [pipe]);
  for (const path of [link, pipe, folder])
    expect(() => writeTraceFile(path)).toThrow(`${path} is not a regular file`);
  expect(readFileSync(target, 'utf8')).toBe('kept');
});

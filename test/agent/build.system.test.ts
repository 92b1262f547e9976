import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAgent } from '../../agent/build.mjs';
import { calls, readElf } from './support/elf.ts';

const TARGETS = [
  { arch: 'x64', machine: 62, cross: 'x86_64-linux-gnu-gcc' },
  { arch: 'arm64', machine: 183, cross: 'aarch64-linux-gnu-gcc' },
].map((target) => ({ ...target, cc: target.arch === process.arch ? 'cc' : target.cross }));

const ROOT = join(import.meta.dirname, '../..');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-build-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function isInstalled(cc: string): boolean {
  return spawnSync(cc, ['--version'], { stdio: 'ignore' }).status === 0;
}

describe('the built agent', () => {
  it.for(TARGETS)('is a hardened static program for $arch', async ({ arch, machine, cc }, { skip }) => {
    skip(!isInstalled(cc), `the compiler ${cc} is not installed`);
    const outFile = join(ROOT, `dist/agent-${arch}`);
    await buildAgent({ outFile, cc });
    const file = await readFile(outFile);
    const elf = readElf(file);
    const { symbols, ...loaded } = elf;
    expect(loaded).toEqual({
      machine,
      positionIndependent: true,
      interpreter: false,
      libraries: 0,
      executableStack: false,
      readOnlyRelocations: true,
      bindNow: true,
    });
    // A function of the agent with a buffer on its stack: libc's own functions have the checks in any case.
    expect(calls(file, elf, 'create_userns', '__stack_chk_fail')).toBe(true);
    expect(calls(file, elf, 'create_userns', '__snprintf_chk')).toBe(true);
  });

  it('is distinguished from a program without that hardening', async () => {
    const outFile = join(folder, 'plain');
    await buildAgent({
      outFile,
      extraFlags: [
        ...['-no-pie', '-fno-pie', '-static', '-Wl,-z,execstack,-z,norelro,-z,lazy'],
        // Compiling takes a third of the time without optimization, and functions stay functions.
        ...['-O0', '-U_FORTIFY_SOURCE', '-fno-stack-protector'],
      ],
    });
    const file = await readFile(outFile);
    const elf = readElf(file);
    expect(elf).toMatchObject({
      positionIndependent: false,
      executableStack: true,
      readOnlyRelocations: false,
      bindNow: false,
    });
    expect(calls(file, elf, 'create_userns', 'snprintf')).toBe(true);
    expect(calls(file, elf, 'create_userns', '__snprintf_chk')).toBe(false);
    expect(calls(file, elf, 'create_userns', '__stack_chk_fail')).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import type { Command } from '../../../src/engines/engine.ts';
import { hintFor } from '../../../tools/commands/command-hints.ts';
import { WrittenOutput } from '../../fakes/written-output.ts';

function hint(command: Partial<Command>, output: { stdout?: string; stderr?: string } = {}): string | null {
  const captured = { stdout: '', stderr: '', truncated: false, ...output };
  return hintFor({ ...new WrittenOutput().finish().command, ...command }, captured);
}

describe('the hint about a bus error', () => {
  it.each<[string, Partial<Command>, { stderr?: string }]>([
    ['of the command itself', { exitCode: 135, signal: 'SIGBUS' }, {}],
    ['of a program in a shell', { exitCode: 135 }, { stderr: 'bash: line 1:     9 Bus error  ./convert\n' }],
    ['of a child', { exitCode: 1 }, { stderr: 'make: *** [all] Bus error (core dumped)\n' }],
  ])('names the likely cause: %s', (_name, command, output) => {
    expect(hint(command, output)).toMatch(/\/dev\/shm.*memory/);
  });

  it('is absent after a success', () => {
    expect(hint({ exitCode: 0 }, { stderr: 'no Bus error\n' })).toBeNull();
  });
});

describe('the hint about refused tracing', () => {
  it.each([
    'strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted',
    'strace: test_ptrace_get_syscall_info: PTRACE_TRACEME: Operation not permitted',
    'ptrace: Operation not permitted.',
    'warning: Could not trace the inferior process. warning: ptrace: Operation not permitted',
  ])('%s', (line) => {
    // gdb reports success in batch mode.
    for (const exitCode of [0, 1]) {
      expect(hint({ exitCode }, { stderr: `${line}\n` })).toContain('does not allow tracing');
      expect(hint({ exitCode }, { stdout: `${line}\n` })).toContain('does not allow tracing');
    }
    expect(hint({ exitCode: 1 }, { stderr: 'rm: Operation not permitted\nptrace\n' })).toBeNull();
  });
});

/** Common expectations and calls of the tool tests. */
import { expect } from 'vitest';
import type { Answer, RunningServer } from './server.ts';

/** Expects an error with this code, a next step and these parts; errors have no structured data. */
export function failsWith(answer: Answer, code: string, ...parts: string[]): void {
  expect(answer.isError).toBe(true);
  expect(answer.structured).toEqual({});
  for (const part of [`Error (${code})`, 'Next step: ', ...parts]) expect(answer.text).toContain(part);
}

/** The stdout of a bash script in the current sandbox. Throws unless it exits with 0. */
export async function outputOf({ call }: Pick<RunningServer, 'call'>, script: string): Promise<string> {
  const answer = await call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  if (answer.structured['exit_code'] !== 0) throw new Error(answer.text);
  return String(answer.structured['stdout']);
}

/** What tests of tools expect of answers, and ask for again and again. */
import { expect } from 'vitest';
import type { Answer, RunningServer } from './server.ts';

/** Expects an error of this code that says what to do next and has these parts; errors carry no data. */
export function failsWith(answer: Answer, code: string, ...parts: string[]): void {
  expect(answer.isError).toBe(true);
  expect(answer.structured).toEqual({});
  for (const part of [`Error (${code})`, 'Next step: ', ...parts]) expect(answer.text).toContain(part);
}

/** What a bash script in the current sandbox writes to stdout. Throws where it does not end with 0. */
export async function outputOf({ call }: Pick<RunningServer, 'call'>, script: string): Promise<string> {
  const answer = await call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  if (answer.structured['exit_code'] !== 0) throw new Error(answer.text);
  return String(answer.structured['stdout']);
}

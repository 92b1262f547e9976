import { expect, it } from 'vitest';
import { gitFailure } from '../../../src/shared/git/git-failure.ts';

it('takes only the refusal of git itself for a missing repository', () => {
  expect(gitFailure(128, '/work')).toMatchObject({ code: 'not_found', details: { path: '/work' } });
  expect(gitFailure(127, '/work').code).toBe('unsupported');
  // Not executable, no process left, killed.
  for (const exitCode of [126, 1, 137]) {
    const failure = gitFailure(exitCode, '/work');
    expect(failure).toMatchObject({ code: 'server', details: { path: '/work', exit_code: exitCode } });
    expect(failure.message).toContain(`exit code ${exitCode}`);
  }
});

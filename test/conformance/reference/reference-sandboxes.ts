/** The cases of the reference about a running sandbox. */
import { expect } from 'vitest';
import {
  type Answer,
  CREATE,
  command,
  from,
  one,
  type ReferenceCase,
  sandbox,
  sh,
} from './reference-case.ts';

const GIT_URL = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/git\/[0-9a-f]{32}$/);

/** @param engine the name of the engine under test */
export function sandboxCasesOfReference(engine: string): ReferenceCase[] {
  const box = (more?: Answer): Answer => sandbox(engine, more);
  return [
    one('create', 'Sandbox.create()', 'sandbox_create', CREATE, () => box()),
    one('create: env', 'Sandbox.create()', 'sandbox_run_command', sh('echo $FROM'), (seen) =>
      command(seen, { args: ['-c', 'echo $FROM'], stdout: 'sandbox\n', stdout_bytes: 8 }),
    ),
    one('get', 'Sandbox.get()', 'sandbox_get', {}, (seen) =>
      box({
        sandbox_id: from(seen, 'create', 'sandbox_id'),
        created_at: from(seen, 'create', 'created_at'),
        git_url: GIT_URL,
      }),
    ),
    {
      name: 'domain',
      section: 'domain()',
      tool: 'sandbox_domain',
      args: () => ({ port: 3000 }),
      answer: (seen) => ({
        sandbox_id: from(seen, 'create', 'sandbox_id'),
        port: 3000,
        url: expect.stringMatching(/^https?:/),
      }),
    },
    one('domain: no port', 'domain()', 'sandbox_domain', { port: 0 }, () => 'invalid_argument'),
    one(
      'wait for the current status',
      'wait_for_status()',
      'sandbox_wait_for_status',
      { status: 'running' },
      () => box(),
    ),
    one('extend', 'extend_timeout()', 'sandbox_extend_timeout', { duration_ms: 60_000 }, () =>
      box({ timeout_ms: 360_000 }),
    ),
    one('get: timeout after an extension', 'timeout', 'sandbox_get', {}, () =>
      box({ timeout_ms: 360_000, git_url: GIT_URL }),
    ),
  ];
}

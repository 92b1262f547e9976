/** The cases of the reference about commands. */
import { expect } from 'vitest';
import { command, from, one, type ReferenceCase, type Seen, sh } from './reference-case.ts';

export function commandCasesOfReference(): ReferenceCase[] {
  return [
    one('run', 'run_command()', 'sandbox_run_command', sh('echo out; echo err >&2; exit 3'), (seen) =>
      command(seen, {
        exit_code: 3,
        stdout: 'out\n',
        stderr: 'err\n',
        stdout_bytes: 4,
        stderr_bytes: 4,
      }),
    ),
    one('run: cwd', 'run_command()', 'sandbox_run_command', { cmd: 'pwd', cwd: '/tmp' }, (seen) =>
      command(seen, { cmd: 'pwd', args: [], cwd: '/tmp', stdout: '/tmp\n', stdout_bytes: 5 }),
    ),
    one(
      'run: additional env',
      'run_command()',
      'sandbox_run_command',
      sh('echo $FROM $MORE', { env: { MORE: 'too' } }),
      (seen) => command(seen, { stdout: 'sandbox too\n', stdout_bytes: 12 }),
    ),
    one(
      'run: sudo',
      'run_command()',
      'sandbox_run_command',
      { cmd: 'id', args: ['-u'], sudo: true },
      (seen) => command(seen, { cmd: 'id', args: ['-u'], stdout: '0\n', stdout_bytes: 2 }),
    ),
    one('run: no such program', 'run_command()', 'sandbox_run_command', { cmd: 'no-such-program' }, (seen) =>
      command(seen, {
        cmd: 'no-such-program',
        args: [],
        exit_code: 127,
        stderr: 'no-such-program: command not found\n',
        stderr_bytes: 35,
      }),
    ),
    one(
      'detached',
      'run_command_detached()',
      'sandbox_run_command_detached',
      sh('echo up; exec sleep 300'),
      (seen) =>
        command(seen, {
          status: 'running',
          exit_code: null,
          ended_by: null,
          stdout: expect.any(String),
          stdout_bytes: expect.any(Number),
          next: expect.stringContaining('command_wait'),
          ready: null,
        }),
    ),
    {
      name: 'logs',
      section: 'logs()',
      tool: 'command_logs',
      args: (seen) => ({ command_id: from(seen, 'detached', 'command_id'), wait_ms: 5_000 }),
      answer: (seen) => ({
        command_id: from(seen, 'detached', 'command_id'),
        lines: [{ stream: 'stdout', data: 'up' }],
        next_cursor: expect.anything(),
        done: false,
        dropped_bytes: 0,
        unsearched_bytes: 0,
        next: expect.stringContaining('wait_ms'),
      }),
    },
    {
      name: 'get_command',
      section: 'get_command()',
      tool: 'sandbox_get_command',
      args: (seen) => ({ command_id: from(seen, 'detached', 'command_id') }),
      answer: (seen) =>
        command(seen, {
          command_id: from(seen, 'detached', 'command_id'),
          status: 'running',
          exit_code: null,
          ended_by: null,
          started_at: from(seen, 'detached', 'started_at'),
          stdout: 'up\n',
          stdout_bytes: 3,
          next: expect.stringContaining('command_wait'),
        }),
    },
    {
      name: 'kill: SIGTERM by default',
      section: 'kill()',
      tool: 'command_kill',
      args: (seen) => ({ command_id: from(seen, 'detached', 'command_id') }),
      answer: (seen) => ({
        command_id: from(seen, 'detached', 'command_id'),
        status: 'finished',
        exit_code: 143,
        signal: 'SIGTERM',
        ended_by: 'killed',
        next: null,
      }),
    },
    {
      name: 'wait',
      section: 'wait()',
      tool: 'command_wait',
      args: (seen) => ({ command_id: from(seen, 'detached', 'command_id') }),
      answer: (seen) =>
        command(seen, {
          exit_code: 143,
          signal: 'SIGTERM',
          ended_by: 'killed',
          stdout: 'up\n',
          stdout_bytes: 3,
        }),
    },
    ...(['both', 'stdout', 'stderr'] as const).map((stream) => ({
      name: `output: ${stream}`,
      section: 'output(), stdout(), stderr()',
      tool: 'command_output',
      args: (seen: Seen) => ({ command_id: from(seen, 'run', 'command_id'), stream }),
      answer: (seen: Seen) => ({
        command_id: from(seen, 'run', 'command_id'),
        stream,
        offset: 0,
        encoding: 'utf8',
        content: {
          both: expect.stringMatching(/^(out\nerr\n|err\nout\n)$/),
          stdout: 'out\n',
          stderr: 'err\n',
        }[stream],
        next_offset: null,
        total_bytes: { both: 8, stdout: 4, stderr: 4 }[stream],
        dropped_bytes: 0,
      }),
    })),
  ];
}

/** An unusable state directory: every entry point reports it at once, and none treats it as empty. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { canBecomeOrdinary, makeOrdinaryUser } from '../support/ordinary-user.ts';
import { runVerb } from '../support/run-verb.ts';
import { startServer } from '../support/server.ts';

let folder = '';
let file = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'c-'));
  chmodSync(folder, 0o711);
  file = join(folder, 'file');
  writeFileSync(file, 'mine');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe.each([
  ['is a file', () => file],
  ['is below a file', () => join(file, 'state')],
  ['is where nothing can be created', () => '/proc/sandbox-mcp-state'],
])('a state directory that %s', (_, path) => {
  it('is an error in doctor, and not reported as ok', async () => {
    const { code, out } = await runVerb(['doctor', '--state-dir', path()]);
    expect(code).toBe(1);
    expect(out).toContain(`error    The state directory ${path()} is not usable: `);
    expect(out).not.toContain('State in');
    expect(out).toContain('--state-dir');
  });

  it('is not reported as clean', async () => {
    const { code, out, err } = await runVerb(['clean', '--state-dir', path()]);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain('The state directory cannot be used: ');
    expect(err).toContain('sandbox-mcp doctor');
    expect(err).not.toMatch(/"level"|ENOTDIR|ENOENT|EEXIST| {4}at /);
  });

  it('is reported to a client as unavailable, with the next step and without a path', async () => {
    const server = await startServer({ stateDir: path() });
    try {
      for (const tool of ['sandbox_create', 'session_info']) {
        const answer = await server.call(tool);
        expect(answer.isError).toBe(true);
        expect(answer.text).toContain('unavailable');
        expect(answer.text).toContain('--state-dir');
        expect(answer.text).not.toContain(path());
      }
    } finally {
      await server.close();
    }
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });
});

describe(
  'a state directory in a folder of another user',
  needs('root, to become another user', canBecomeOrdinary),
  () => {
    it('is rejected, and doctor says where it cannot be created', async () => {
      const closed = join(folder, 'closed');
      mkdirSync(closed, { mode: 0o755 });
      const user = await makeOrdinaryUser(false);
      try {
        const stateDir = join(closed, 'state');
        const doctor = await run(user.command(['node', 'dist/main.js', 'doctor', '--state-dir', stateDir]));
        expect(doctor.code).toBe(1);
        expect(doctor.out).toContain(
          `The state directory ${stateDir} is not usable: this user cannot write to ${closed}\n`,
        );
        const clean = await run(user.command(['node', 'dist/main.js', 'clean', '--state-dir', stateDir]));
        expect(clean.code).toBe(1);
        expect(clean.err).toContain(
          'The state directory cannot be used: this user has no permission to write there.',
        );
      } finally {
        await user.remove();
      }
    });
  },
);

async function run([program = '', ...args]: string[]): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, out, err };
}

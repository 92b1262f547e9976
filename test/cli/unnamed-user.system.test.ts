/** A user id without a line in /etc/passwd, as used by containers and schedulers: with and without `HOME`. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { canBecomeOrdinary, makeOrdinaryUser, type OrdinaryUser } from '../support/ordinary-user.ts';
import { CALL_TIMEOUT_MS } from '../support/timeout-factor.ts';

const HOMELESS = ['env', '-u', 'HOME', '-u', 'XDG_STATE_HOME'];

describe('a user without a name', needs('root, to become another user', canBecomeOrdinary), () => {
  let user: OrdinaryUser;

  beforeAll(async () => {
    // The range is listed by number, but newuidmap looks for a name.
    user = await makeOrdinaryUser(true, { named: false });
  });

  afterAll(async () => {
    await user.remove();
  });

  function start(before: string[], after: string[]): ChildProcessByStdio<Writable, Readable, Readable> {
    const [program = '', ...args] = user.command([...before, 'node', 'dist/main.js', ...after]);
    return spawn(program, args, { stdio: 'pipe' });
  }

  async function verb(before: string[], ...after: string[]) {
    const child = start(before, after);
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { code, out, err };
  }

  it('is reported by doctor on a working machine', async () => {
    const { code, out, err } = await verb([], 'doctor');
    expect(err).toBe('');
    expect(out).toMatch(/^oci: works here\n/);
    expect(out).toMatch(/warning {2}User \d+ has no line in \/etc\/passwd: /);
    expect(code).toBe(0);
  });

  it.each([
    ['with a home directory', []],
    ['without a home, but with a state directory', HOMELESS],
  ])('gets a sandbox, %s', async (_, before) => {
    const child = start(before, ['--state-dir', join(user.home, 'state')]);
    const closed = once(child, 'close');
    const client = new Client({ name: 'test', version: '1' });
    // Both directions use the same framing.
    const options = { timeout: CALL_TIMEOUT_MS };
    await client.connect(new StdioServerTransport(child.stdout, child.stdin), options);
    const call = async (name: string, args: Record<string, unknown>) => {
      const request = { name, arguments: args };
      const result = CallToolResultSchema.parse(await client.callTool(request, undefined, options));
      if (result.isError) throw new Error(JSON.stringify(result.content));
      return result.structuredContent;
    };
    try {
      expect(await call('sandbox_create', {})).toMatchObject({ status: 'running' });
      expect(await call('sandbox_run_command', { cmd: 'id', args: ['-u'] })).toMatchObject({ exit_code: 0 });
      expect(JSON.stringify(await call('session_info', {}))).toContain('a single id');
    } finally {
      child.stdin.end();
      await closed;
      await client.close();
    }
  });

  it.each([[[]], [['list']], [['doctor']]])(
    'is asked for a state directory without a home: %j',
    async (args) => {
      const { code, out, err } = await verb(HOMELESS, ...args);
      expect(code).toBe(2);
      expect(out).toBe('');
      expect(err).toContain('--state-dir has no default for a user without a home directory');
      expect(err).not.toContain('    at ');
    },
  );
});

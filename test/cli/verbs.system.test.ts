import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runVerb, type VerbResult } from '../support/run-verb.ts';
import { type RunningServer, startServer } from '../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  await server.close();
});

/** Runs a subcommand on the state of the running server. */
function verb(...args: string[]): Promise<VerbResult> {
  return runVerb([...args, '--state-dir', server.stateDir]);
}

async function createSandbox(): Promise<string> {
  const { structured, text, isError } = await server.call('sandbox_create', { resources: { vcpus: 1 } });
  if (isError) throw new Error(text);
  return String(structured['sandbox_id']);
}

async function run(sandboxId: string, script: string, tool = 'sandbox_run_command'): Promise<string> {
  const { structured, text, isError } = await server.call(tool, {
    sandbox_id: sandboxId,
    cmd: 'sh',
    args: ['-c', script],
  });
  if (isError) throw new Error(text);
  return String(structured['command_id']);
}

describe('the commands, next to a running server', () => {
  it('list, log and stop one of its sandboxes', async () => {
    const sandboxId = await createSandbox();
    const commandId = await run(sandboxId, 'echo out; echo err >&2; exit 3');

    const listed = await verb('list');
    expect(listed.code).toBe(0);
    expect(listed.out).toMatch(new RegExp(`^SANDBOX .*\\n${sandboxId}  running  oci +1 `));
    const asJson: unknown = JSON.parse((await verb('list', '--json')).out);
    expect(asJson).toMatchObject([{ sandboxId, status: 'running', vcpus: 1 }]);

    const ofCommand = await verb('logs', commandId);
    expect(ofCommand).toMatchObject({ code: 0, err: '' });
    expect(ofCommand.out.split('\n').sort()).toEqual(['', 'err', 'out']);
    const ofSandbox = await verb('logs', sandboxId);
    expect(ofSandbox.out).toMatch(new RegExp(`^== ${commandId}  sh -c .* \\(exit code 3\\)\\n`));

    expect(await verb('stop', sandboxId)).toEqual({ code: 0, out: `${sandboxId} stopped\n`, err: '' });
    // Stopping a stopped sandbox is not an error, and its logs remain.
    expect((await verb('stop', sandboxId)).code).toBe(0);
    expect((await verb('logs', commandId)).out).toBe(ofCommand.out);
    const seen = await server.call('sandbox_get', { sandbox_id: sandboxId });
    expect(seen.structured).toMatchObject({ status: 'stopped' });
  });

  it('follow a command to its end', async () => {
    const sandboxId = await createSandbox();
    const commandId = await run(
      sandboxId,
      'echo first; until [ -e /tmp/go ]; do sleep 0.05; done; echo last',
      'sandbox_run_command_detached',
    );
    const output = verb('logs', '--follow', commandId);
    await run(sandboxId, 'touch /tmp/go');
    expect(await output).toEqual({ code: 0, out: 'first\nlast\n', err: '' });
    await verb('stop', sandboxId);
  });

  it('do not clean up what a running server owns', async () => {
    const sandboxId = await createSandbox();
    expect(await verb('clean')).toEqual({ code: 0, out: 'Nothing to clean.\n', err: '' });
    const seen = await server.call('sandbox_get', { sandbox_id: sandboxId });
    expect(seen.structured).toMatchObject({ status: 'running' });
    await verb('stop', sandboxId);
  });

  it.each([
    ['stop', 'sbx_222222222222', 'There is no sandbox'],
    ['stop', '../../etc', 'There is no sandbox'],
    ['logs', 'cmd_222222222222_22222222', 'sandbox-mcp: '],
    ['logs', 'nonsense', 'There is no sandbox'],
  ])('%s %s reports an unknown id', async (name, id, sentence) => {
    const { code, out, err } = await verb(name, id);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain(sentence);
    expect(err).toContain('sandbox-mcp list');
  });
});

describe('clean', () => {
  it('stops what a killed server left behind', async () => {
    const doomed = await startServer();
    try {
      const created = await doomed.call('sandbox_create', { resources: { vcpus: 1 } });
      const sandboxId = String(created.structured['sandbox_id']);
      const exited = new Promise<void>((resolve) => {
        doomed.client.onclose = resolve;
      });
      process.kill(doomed.pid, 'SIGKILL');
      await exited;
      const state = ['--state-dir', doomed.stateDir];
      expect(await runVerb(['clean', ...state])).toMatchObject({ code: 0, out: `stopped    ${sandboxId}\n` });
      expect((await runVerb(['list', ...state])).out).toMatch(new RegExp(`${sandboxId}  stopped `));
    } finally {
      await doomed.close();
    }
  });
});

describe('doctor', () => {
  it('confirms by a trial run that this machine works', async () => {
    const { code, out } = await verb('doctor');
    expect(out).toMatch(/^oci: works here\n/);
    expect(out).toMatch(/ok {7}\w+ \S+ ran a sandbox/);
    expect(out).toContain('vercel: not set up (--engine vercel)\n');
    expect(code).toBe(0);
  });

  it('reports what is wrong and exits with 1', async () => {
    const { code, out } = await verb('doctor', '--oci-runtime', '/nowhere/crun', '--json');
    expect(code).toBe(1);
    const diagnoses: unknown = JSON.parse(out);
    expect(diagnoses).toMatchObject([{ engine: 'oci', works: false }, { engine: 'vercel' }]);
    expect(out).toContain('The OCI runtime /nowhere/crun is not installed');
  });
});

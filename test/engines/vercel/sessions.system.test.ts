/** However a session ends, nothing of it keeps running in the cloud, where it would cost money. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startVercelApi, type VercelApi } from '../../fakes/vercel/index.ts';
import { runVerb } from '../../support/run-verb.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { openSourceServer } from '../../support/source-server.ts';
import { oidcToken, serverEnvironment, vercelArguments } from './support/vercel-engines.ts';

describe('sandboxes in the cloud', () => {
  let api: VercelApi;
  let stateDir: string;
  const servers: RunningServer[] = [];

  beforeAll(async () => {
    // Nothing has to run in their sandboxes.
    api = await startVercelApi('memory');
  });

  afterAll(async () => {
    await api.close();
    expect(api.violations).toEqual([]);
  });

  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'c-'));
  });

  afterEach(async () => {
    api.faults.clear();
    for (const server of servers.splice(0)) await server.close();
    expect(
      (await runVerb([...vercelArguments(api), '--state-dir', stateDir, 'clean'], serverEnvironment(api)))
        .code,
    ).toBe(0);
    await rm(stateDir, { recursive: true, force: true });
  });

  async function serve(env = serverEnvironment(api)): Promise<RunningServer> {
    const server = await startServer({ args: vercelArguments(api), env, stateDir });
    servers.push(server);
    return server;
  }

  const busy = async (server: RunningServer, more: Record<string, unknown> = {}): Promise<string> => {
    const { structured, text } = await server.call('sandbox_create', more);
    expect(structured, text).toMatchObject({ status: 'running', engine: 'vercel' });
    const command = { cmd: 'sh', args: ['-c', 'echo up; sleep 300'] };
    expect((await server.call('sandbox_run_command_detached', command)).structured).toMatchObject({
      status: 'running',
    });
    return String(structured['sandbox_id']);
  };

  it('stop when the client disconnects', async () => {
    const server = await serve();
    const made = [await busy(server), await busy(server)];
    expect(await api.alive()).toEqual(made);
    await server.close();
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('stop on SIGTERM', async () => {
    const server = await serve();
    await busy(server);
    process.kill(server.pid, 'SIGTERM');
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('stop at the end of a session that outlasts its OIDC token', async () => {
    const tokenFor = (hours: number) => {
      const { teamId, projectId } = api.credentials;
      const exp = Math.round(Date.now() / 1_000) + hours * 3_600;
      return oidcToken({ owner_id: teamId, project_id: projectId, exp });
    };
    const [first, second] = [tokenFor(1), tokenFor(2)];
    const tokenFile = join(stateDir, 'token');
    await writeFile(tokenFile, first);
    api.credentials.token = first;
    const server = await serve({ VERCEL_OIDC_TOKEN_FILE: tokenFile });
    const made = await busy(server);
    api.credentials.token = second;
    await writeFile(tokenFile, `VERCEL_OIDC_TOKEN="${second}"\n`);
    expect(await api.alive()).toEqual([made]);
    await server.close();
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('remain until their deadline if kept', async () => {
    const server = await serve();
    const kept = await busy(server, { keep: true, timeout_ms: 3_600_000 });
    await server.close();
    expect(await api.alive()).toEqual([kept]);
    api.passTime(3_600_000);
    expect(await api.alive()).toEqual([]);
    api.passTime(-3_600_000);
  });

  it('are stopped by the next server after a crash', async () => {
    const server = await serve();
    const made = await busy(server);
    process.kill(server.pid, 'SIGKILL');
    expect(await api.alive()).toEqual([made]);
    await serve();
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('are stopped by `clean` after a crash, except kept ones', async () => {
    const server = await serve();
    const kept = await busy(server, { keep: true });
    await busy(server);
    process.kill(server.pid, 'SIGKILL');
    await server.close();
    const { code, err } = await runVerb(
      [...vercelArguments(api), '--state-dir', stateDir, 'clean'],
      serverEnvironment(api),
    );
    expect(code, err).toBe(0);
    expect(await api.alive()).toEqual([kept]);
    const next = await serve();
    await next.call('sandbox_stop', { sandbox_id: kept, blocking: true });
    expect(await api.alive()).toEqual([]);
  });

  it('are stopped by the next server if the crash came before the response', async () => {
    const server = await serve();
    api.faults.add({ kind: 'hang-after', operation: 'sandbox.create' });
    const making = server.call('sandbox_create').catch(() => 'the server is gone');
    await expect.poll(() => api.alive()).toHaveLength(1);
    process.kill(server.pid, 'SIGKILL');
    await making;
    api.faults.clear();
    await serve();
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('are removed or adopted if the response to their creation was lost', async () => {
    const server = await serve();
    for (const kind of ['lost', 'lost-502', 'half', 'malformed', 'invalid'] as const) {
      api.faults.add({ kind, operation: 'sandbox.create', times: 1 });
      const { isError, text, structured } = await server.call('sandbox_create');
      if (!isError) {
        const id = String(structured['sandbox_id']);
        expect(await api.alive()).toEqual([id]);
        await server.call('sandbox_stop', { sandbox_id: id, blocking: true });
      }
      await expect.poll(() => api.alive(), { message: `${kind}: ${text}` }).toEqual([]);
    }
  });

  it('are stopped later if the end of the session could not stop them', async () => {
    const server = await serve();
    const made = await busy(server);
    api.faults.add({ kind: 503, operation: 'session.stop' });
    await server.close();
    expect(await api.alive()).toEqual([made]);
    api.faults.clear();
    await serve();
    await expect.poll(() => api.alive()).toEqual([]);
  });

  it('are populated from a source fetched by the cloud, and report it; a fetch ends with the session', async () => {
    const sources = await openSourceServer('127.0.0.1');
    const inMemory = api;
    // Its files have to be read.
    api = await startVercelApi();
    try {
      const server = await serve();
      const lines: string[] = [];
      const source = { type: 'git', url: `${sources.url}/repo.git`, revision: 'old', depth: 1 };
      const onprogress = ({ message }: { message?: string | undefined }) => lines.push(message ?? '');
      const made = await server.call('sandbox_create', { source }, { onprogress });
      expect(made.structured, made.text).toMatchObject({ status: 'running' });
      expect(lines).toContain(`Fetching ${source.url}`);
      // A managed image puts the repository into a folder of its own.
      expect(made.structured).toMatchObject({ source_path: '/vercel/sandbox/repo' });
      const read = await server.call('sandbox_read_file', {
        path: 'file.txt',
        cwd: made.structured['source_path'],
      });
      expect(read.structured).toMatchObject({ content: 'one\n' });

      sources.on('/hang', () => undefined);
      const reached = sources.next('/hang');
      const tarball = { type: 'tarball', url: `${sources.url}/hang` };
      const making = server.call('sandbox_create', { source: tarball }).catch(() => 'the session ended');
      await reached;
      expect(await api.alive()).toHaveLength(2);
      await server.close();
      await making;
      await expect.poll(() => api.alive()).toEqual([]);
      expect(api.violations).toEqual([]);
    } finally {
      await api.close();
      api = inMemory;
      await sources.close();
    }
  });

  it('reject requests for terminals for people instead of ignoring them', async () => {
    const server = await serve();
    const { text } = await server.call('sandbox_create', { interactive: true });
    expect(text).toMatch(/^Error \(unsupported\): .*interactive port.*\nNext step: .*sandbox_shell/);
    const { structured } = await server.call('session_info');
    expect(structured['engine']).toMatchObject({
      capabilities: [
        ...[
          'ports',
          'snapshots',
          'shells',
          'network_policies',
          'rule_effects',
          'sources',
          'git',
          'ownership',
        ],
        ...['regions', 'named_sandboxes'],
      ],
      not_enforced: expect.arrayContaining([expect.stringContaining('Terminals for people')]),
    });
    expect(await api.alive()).toEqual([]);
  });
});

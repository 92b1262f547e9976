import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';

const DAY_MS = 86_400_000;

describe('snapshots through the server', () => {
  let server: RunningServer;
  const taken: string[] = [];

  beforeAll(async () => {
    server = await startServer();
  });

  afterAll(async () => {
    for (const snapshot_id of taken) await server.call('snapshot_delete', { snapshot_id });
    await server.close();
  });

  async function sh(script: string, args: Record<string, unknown> = {}): Promise<string> {
    const answer = await server.call('sandbox_run_command', { cmd: 'sh', args: ['-c', script], ...args });
    if (answer.isError || answer.structured['exit_code'] !== 0) throw new Error(answer.text);
    return String(answer.structured['stdout']);
  }

  async function snapshot(args: Record<string, unknown> = {}) {
    const answer = await server.call('sandbox_snapshot', args);
    if (answer.isError) throw new Error(answer.text);
    taken.push(String(answer.structured['snapshot_id']));
    return answer.structured;
  }

  /** The size is determined in the background. */
  async function untilCounted(snapshot_id: unknown): Promise<void> {
    const size = async () => (await server.call('snapshot_get', { snapshot_id })).structured['size_bytes'];
    await expect.poll(size).toBeGreaterThan(0);
  }

  it('keep the files, and say that the sandbox was stopped and how to continue', async () => {
    const created = await server.call('sandbox_create');
    const source = String(created.structured['sandbox_id']);
    await sh('echo kept > file && echo changed > /etc/hostname', { sudo: true });
    const answer = await snapshot({ expiration_ms: DAY_MS });
    expect(answer).toMatchObject({
      snapshot_id: expect.stringMatching(/^snap_/),
      source_sandbox_id: source,
      status: 'created',
      sandbox_status: 'stopped',
      next: expect.stringMatching(/stopped.*sandbox_create/),
    });
    expect(Number(answer['expires_at']) - Number(answer['created_at'])).toBeLessThanOrEqual(DAY_MS);
    await untilCounted(answer['snapshot_id']);
    const ended = await server.call('sandbox_get', { sandbox_id: source });
    expect(ended.structured).toMatchObject({ status: 'stopped', status_reason: 'stopped by a snapshot' });
    const after = await server.call('sandbox_run_command', { cmd: 'true', sandbox_id: source });
    expect(after).toMatchObject({ isError: true });
    expect(after.text).toContain('snapshot');

    const snapshot_id = answer['snapshot_id'];
    const restored = await server.call('sandbox_create', { source: { type: 'snapshot', snapshot_id } });
    expect(restored.structured).toMatchObject({ status: 'running', source_snapshot_id: snapshot_id });
    expect(await sh('cat file /etc/hostname')).toBe('kept\nchanged\n');
    await server.call('sandbox_stop', { blocking: true });
  });

  it('can be queried, listed and deleted, and are gone after that', async () => {
    await server.call('sandbox_create');
    const { snapshot_id, sandbox_status, next, ...facts } = await snapshot();
    expect([sandbox_status, next]).not.toContain(undefined);
    await untilCounted(snapshot_id);
    const got = await server.call('snapshot_get', { snapshot_id });
    expect(got.structured).toEqual({ snapshot_id, ...facts, size_bytes: expect.any(Number) });
    const listed = await server.call('snapshot_list', { limit: 1 });
    expect(listed.structured['snapshots']).toEqual([got.structured]);
    const deleted = await server.call('snapshot_delete', { snapshot_id });
    expect(deleted.structured).toMatchObject({ snapshot_id, status: 'deleted' });
    expect(await server.call('snapshot_delete', { snapshot_id })).toEqual(deleted);
    for (const [tool, args] of [
      ['snapshot_get', { snapshot_id }],
      ['snapshot_delete', { snapshot_id: 'snap_never' }],
      ['sandbox_create', { source: { type: 'snapshot', snapshot_id } }],
      ['snapshot_get', { snapshot_id: '../../etc' }],
    ] as const) {
      const answer = await server.call(tool, args);
      expect(answer.isError).toBe(true);
      expect(answer.text).toMatch(/not_found/);
      expect(answer.text).toContain('snapshot_list');
    }
  });

  it('are rejected with a reason when impossible', async () => {
    await server.call('sandbox_create');
    const soon = await server.call('sandbox_snapshot', { expiration_ms: 1_000 });
    expect(soon.text).toMatch(/invalid_argument.*1000/s);
    const { snapshot_id } = await snapshot({ expiration_ms: 0 });
    expect((await server.call('snapshot_get', { snapshot_id })).structured['expires_at']).toBeNull();
    const again = await server.call('sandbox_snapshot');
    expect(again.text).toMatch(/conflict/);
    const other = await server.call('sandbox_create', {
      source: { type: 'snapshot', snapshot_id },
      runtime: 'cobol1959',
    });
    expect(other.text).toMatch(/invalid_argument.*runtime/s);
  });

  it('outlive the server that took them', async () => {
    await server.call('sandbox_create');
    await sh('echo kept > file');
    const { snapshot_id } = await snapshot();
    await server.client.close();
    const { stateDir } = server;
    const next = await startServer({ stateDir });
    try {
      const restored = await next.call('sandbox_create', { source: { type: 'snapshot', snapshot_id } });
      expect(restored.structured).toMatchObject({ status: 'running' });
      const read = await next.call('sandbox_read_file', { path: 'file' });
      expect(read.structured['content']).toBe('kept\n');
      await next.call('sandbox_stop', { blocking: true });
    } finally {
      for (const id of taken.splice(0)) await next.call('snapshot_delete', { snapshot_id: id });
      await next.close();
    }
  });
});

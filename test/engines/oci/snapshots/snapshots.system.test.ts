/** Snapshots on this engine's disk: layers are kept exactly as long as something is based on them. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { CreateSandbox, Engine, Sandbox, Snapshots } from '../../../../src/engines/engine.ts';
import { createOciEngine } from '../../../../src/engines/oci/index.ts';
import { newSnapshotId } from '../../../../src/shared/ids.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import { warm } from '../../../support/host/warm-state.ts';
import { needs } from '../../../support/needs.ts';
import { AGENT_PATH } from '../support/oci-engines.ts';

const isRoot = process.getuid?.() === 0;

describe('snapshots on disk', () => {
  let stateDir = '';
  let engine: Engine;
  let snapshots: Snapshots;
  let made: string[] = [];

  function open(): Engine {
    return createOciEngine({
      stateDir,
      ociRuntime: 'auto',
      agentPath: AGENT_PATH,
      log: createLogger('silent'),
    });
  }

  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'snap-'));
    await chmod(stateDir, 0o711);
    await warm(stateDir);
    made = [];
    use(open());
  });

  afterEach(async () => {
    for (const sandboxId of made) await engine.forget(sandboxId, timeoutSignal());
    await engine.close();
    await rm(stateDir, { recursive: true, force: true });
  });

  function use(opened: Engine): void {
    if (opened.snapshots === undefined) throw new Error('the engine keeps no snapshots');
    engine = opened;
    snapshots = opened.snapshots;
  }

  async function create(request: Partial<CreateSandbox> = {}): Promise<Sandbox> {
    const full = createRequest(request);
    made.push(full.sandboxId);
    return engine.create(full, timeoutSignal());
  }

  const restore = (snapshotId: string) => create({ source: { type: 'snapshot', snapshotId } });

  async function shell(sandbox: Sandbox, script: string) {
    const subject = { engine, other: engine, shared: sandbox, create };
    return run(subject, 'sh', ['-c', script], { sudo: true });
  }

  async function take(sandbox: Sandbox): Promise<string> {
    return (await snapshots.take(sandbox.sandboxId, null, timeoutSignal())).snapshotId;
  }

  const onDisk = async () =>
    (await readdir(join(stateDir, 'snapshots'))).filter((name) => name !== 'lock').sort();

  /** Changes a snapshot's record as time or a crash would. */
  async function rewrite(snapshotId: string, fields: Record<string, unknown>): Promise<void> {
    const path = join(stateDir, 'snapshots', snapshotId, 'record.json');
    const record = z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile(path, 'utf8')));
    await writeFile(path, JSON.stringify({ ...record, ...fields }));
  }

  it('are deleted from the disk with the last one that depends on them', async () => {
    const first = await take(await create());
    const living = await restore(first);
    const second = await take(await restore(first));
    expect(await onDisk()).toEqual([first, second].sort());
    await snapshots.delete(first, timeoutSignal());
    expect(await onDisk()).toEqual([first, second].sort());
    await snapshots.delete(second, timeoutSignal());
    expect(await onDisk()).toEqual([first]);
    await engine.stop(living.sandboxId, 'requested', timeoutSignal());
    expect(await onDisk()).toEqual([]);
  });

  it('are deleted after they expire, by a listing or by recovery', async () => {
    const [listed, recovered, kept] = [
      await take(await create()),
      await take(await create()),
      await take(await create()),
    ];
    await rewrite(listed, { expiresAt: Date.now() - 1 });
    await expect(snapshots.get(listed, timeoutSignal())).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('expired'),
    });
    await expect(restore(listed)).rejects.toMatchObject({ code: 'not_found' });
    const page = await snapshots.list({ limit: 10, since: null, until: null, cursor: null }, timeoutSignal());
    expect(page.items.map(({ snapshotId }) => snapshotId)).toEqual([kept, recovered]);
    expect(await onDisk()).toEqual([recovered, kept].sort());
    await rewrite(recovered, { expiresAt: Date.now() - 1 });
    await engine.recover(timeoutSignal());
    expect(await onDisk()).toEqual([kept]);
  });

  it('are measured again by the next listing when measuring was interrupted', async () => {
    const snapshotId = await take(await create());
    const size = async () => (await snapshots.get(snapshotId, timeoutSignal())).sizeBytes;
    await expect.poll(size).toBeGreaterThan(0);
    const counted = await snapshots.get(snapshotId, timeoutSignal());
    await rewrite(snapshotId, { ownBytes: null });
    const query = { limit: 10, since: null, until: null, cursor: null };
    expect((await snapshots.list(query, timeoutSignal())).items).toMatchObject([{ sizeBytes: null }]);
    await expect.poll(size).toBe(counted.sizeBytes);
  });

  it('leave nothing of processes killed while creating or deleting one', async () => {
    const kept = await take(await create());
    for (const name of [`.new.${newSnapshotId()}`, `.gone.${newSnapshotId()}`]) {
      await mkdir(join(stateDir, 'snapshots', name, 'layer/usr'), { recursive: true });
    }
    await engine.recover(timeoutSignal());
    expect(await onDisk()).toEqual([kept]);
  });

  it('keep every layer while a record is unreadable', async () => {
    const [first, damaged] = [await take(await create()), await take(await create())];
    const path = join(stateDir, 'snapshots', damaged, 'record.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, '{');
    expect(await snapshots.delete(first, timeoutSignal())).toMatchObject({ status: 'deleted' });
    await expect(snapshots.get(damaged, timeoutSignal())).rejects.toMatchObject({ code: 'server' });
    await engine.recover(timeoutSignal());
    expect(await onDisk()).toEqual([first, damaged].sort());
    await writeFile(path, text);
    await engine.recover(timeoutSignal());
    expect(await onDisk()).toEqual([damaged]);
  });

  it('contain directories that root can rename in the next sandbox', needs('root', isRoot), async () => {
    const source = await create();
    await shell(source, 'mkdir -p /vercel/sandbox/d/e && echo deep > /vercel/sandbox/d/e/f');
    const restored = await restore(await take(source));
    const rename =
      'cd /vercel/sandbox && perl -e \'rename("d", "moved") or die "$!"\' && cat moved/e/f && ls';
    expect(await shell(restored, rename)).toMatchObject({ stdout: 'deep\nmoved\n', exitCode: 0 });
    const again = await restore(await take(restored));
    expect(await shell(again, 'cat /vercel/sandbox/moved/e/f && ls /vercel/sandbox')).toMatchObject({
      stdout: 'deep\nmoved\n',
    });
  });

  it('fail on a full disk without loss: the sandbox keeps running', needs('root', isRoot), async () => {
    const disk = join(stateDir, 'disk');
    await mkdir(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=80m,mode=711', 'tmpfs', disk]);
    expect(mounted.status).toBe(0);
    const outer = { engine, stateDir };
    stateDir = disk;
    use(open());
    try {
      const sandbox = await create();
      await shell(
        sandbox,
        'echo kept > /vercel/sandbox/kept; head -c 100000000 /dev/zero > /vercel/sandbox/fill',
      );
      await expect(take(sandbox)).rejects.toMatchObject({ code: 'limit_exceeded' });
      await engine.files
        .write(
          sandbox.sandboxId,
          [{ path: 'fill', content: Buffer.alloc(0), mode: null }],
          null,
          timeoutSignal(),
        )
        .catch(() => null);
      await shell(sandbox, 'rm -f /vercel/sandbox/fill');
      expect(await engine.get(sandbox.sandboxId, timeoutSignal())).toMatchObject({ status: 'running' });
      const restored = await restore(await take(sandbox));
      expect(await shell(restored, 'cat /vercel/sandbox/kept')).toMatchObject({ stdout: 'kept\n' });
      expect(await onDisk()).toHaveLength(1);
    } finally {
      for (const sandboxId of made.splice(0)) await engine.forget(sandboxId, timeoutSignal());
      await engine.close();
      spawnSync('umount', [disk]);
      stateDir = outer.stateDir;
      use(outer.engine);
    }
  });
});

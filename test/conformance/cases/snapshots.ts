import { expect, type TestContext } from 'vitest';
import type { CreateSandbox, Sandbox, Snapshot, Snapshots } from '../../../src/engines/engine.ts';
import { newSnapshotId } from '../../../src/shared/ids.ts';
import { describeCases } from '../support/contract-cases.ts';
import { createRequest, timeoutSignal } from '../support/requests.ts';
import { run, start } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const DAY_MS = 86_400_000;

/** Take, restore, chain, delete, expire. */
export function snapshotCases(get: () => Subject, extent: Extent): void {
  function snapshotsOf(context: TestContext): Snapshots {
    const { engine } = get();
    return engine.snapshots ?? context.skip(`engine ${engine.name} keeps no snapshots`);
  }

  const from = (snapshotId: string): Partial<CreateSandbox> => ({ source: { type: 'snapshot', snapshotId } });

  /** The output of a script, run as root of the sandbox. */
  async function shell(sandbox: Sandbox, script: string): Promise<string> {
    const done = await run({ ...get(), shared: sandbox }, 'sh', ['-c', script], { sudo: true });
    if (done.exitCode !== 0) throw new Error(`${script}: ${done.exitCode}\n${done.stdout}\n${done.stderr}`);
    return done.stdout.trim();
  }

  /** A snapshot of a new sandbox after running this script; the caller deletes it. */
  async function snapshotAfter(snapshots: Snapshots, script: string, parent?: Snapshot): Promise<Snapshot> {
    const sandbox = await get().create(parent === undefined ? {} : from(parent.snapshotId));
    await shell(sandbox, script);
    return snapshots.take(sandbox.sandboxId, null, timeoutSignal());
  }

  /** The snapshot with its size, which is determined in the background. */
  async function counted(
    snapshots: Snapshots,
    { snapshotId }: Snapshot,
  ): Promise<Snapshot & { sizeBytes: number }> {
    await expect
      .poll(async () => (await snapshots.get(snapshotId, timeoutSignal())).sizeBytes)
      .not.toBeNull();
    const snapshot = await snapshots.get(snapshotId, timeoutSignal());
    return { ...snapshot, sizeBytes: snapshot.sizeBytes ?? 0 };
  }

  async function deleteAll(snapshots: Snapshots, taken: Snapshot[]): Promise<void> {
    for (const { snapshotId } of taken) await snapshots.delete(snapshotId, timeoutSignal());
  }

  describeCases('snapshots', extent, (it) => {
    it('can be copies of a sandbox that keeps running', async (context) => {
      const snapshots = snapshotsOf(context);
      const { engine, create } = get();
      if (snapshots.copy === undefined)
        return context.skip(`engine ${engine.name} cannot keep a sandbox running`);
      const source = await create();
      await shell(
        source,
        `cd /vercel/sandbox && echo before > file && chmod 0640 file && ln file hard && ln -s file link && mkfifo pipe &&
         echo changed > /etc/hostname && rm -rf /etc/ssl && : > "$(printf 'new\nline')"`,
      );
      const { commandId } = await start({ ...get(), shared: source }, 'sh', [
        '-c',
        'while :; do echo x; sleep 0.05; done',
      ]);
      const { notEnforced } = await engine.limits(timeoutSignal());
      const copying = snapshots.copy(source.sandboxId, null, timeoutSignal());
      // Without cgroups there is neither a memory limit nor a freezer.
      if (notEnforced.some((sentence) => sentence.toLowerCase().includes('memory'))) {
        await expect(copying).rejects.toMatchObject({ code: 'unsupported' });
        return expect(await shell(source, 'cat /vercel/sandbox/file')).toBe('before');
      }
      const copied = await copying;
      expect(copied).toMatchObject({ sourceSandboxId: source.sandboxId, status: 'created' });
      expect(await engine.get(source.sandboxId, timeoutSignal())).toMatchObject({
        status: 'running',
        stopCause: null,
      });
      const { stdoutBytes } = await engine.commands.get(commandId, timeoutSignal());
      await engine.commands.waitForOutput(commandId, stdoutBytes, timeoutSignal());
      await shell(source, 'echo after > /vercel/sandbox/file');
      const fork = await create(from(copied.snapshotId));
      const seen =
        'cd /vercel/sandbox && cat file hard link && stat -c %a.%h file && cat /etc/hostname && ls -d /etc/ssl || ls | wc -l';
      expect(await shell(fork, seen)).toBe('before\nbefore\nbefore\n640.2\nchanged\n6');
      // The source can be snapshotted again, and ended, without the fork noticing.
      const second = await snapshots.take(source.sandboxId, null, timeoutSignal());
      expect(await shell(fork, 'cat /vercel/sandbox/file')).toBe('before');
      await engine.forget(fork.sandboxId, timeoutSignal());
      for (const { snapshotId } of [copied, second]) await snapshots.delete(snapshotId, timeoutSignal());
    });

    it('stop the sandbox and keep its files for a new sandbox', async (context) => {
      const snapshots = snapshotsOf(context);
      const { engine, other, create } = get();
      const source = await create();
      // Without ids of its own, a sandbox has a single owner.
      const owner = await shell(
        source,
        `cd /vercel/sandbox && echo kept > file && { chown 7:8 file 2> /dev/null || true; } && stat -c %u:%g file &&
         chmod 0640 file && touch -d @1234567890 file && ln -s file link && mkdir -p deep/er &&
         mkdir -p /opt/tool && echo tool > /opt/tool/run && echo changed > /etc/hostname && rm -rf /etc/ssl &&
         chmod 0750 /srv && echo temporary > /tmp/file && (sleep 1000 & )`,
      );
      const { commandId } = await start({ ...get(), shared: source }, 'sleep', ['1000']);
      const before = Date.now();
      const snapshot = await snapshots.take(source.sandboxId, null, timeoutSignal());
      expect(snapshot).toMatchObject({ sourceSandboxId: source.sandboxId, status: 'created' });
      expect(snapshot.createdAt).toBeGreaterThanOrEqual(before);
      expect(snapshot.expiresAt ?? 0).toBeGreaterThanOrEqual(before + 30 * DAY_MS);
      expect(await engine.get(source.sandboxId, timeoutSignal())).toMatchObject({
        status: 'stopped',
        stopCause: 'snapshot',
        expiresAt: null,
      });
      expect(await engine.commands.get(commandId, timeoutSignal())).toMatchObject({
        status: 'finished',
        endedBy: 'sandbox_stopped',
      });

      const restored = await other.create(createRequest(from(snapshot.snapshotId)), timeoutSignal());
      expect(restored).toMatchObject({ status: 'running', sourceSnapshotId: snapshot.snapshotId });
      expect(restored.runtime).toBe(source.runtime);
      expect(
        await shell(
          restored,
          `cd /vercel/sandbox && cat link && stat -c '%a %Y %u:%g' file && readlink link && test -d deep/er &&
           cat /opt/tool/run /etc/hostname && test ! -e /etc/ssl && stat -c %a /srv && cat /tmp/file && stat -c %a /tmp && id -u`,
        ),
      ).toBe(`kept\n640 1234567890 ${owner}\nfile\ntool\nchanged\n750\ntemporary\n1777\n0`);
      await other.forget(restored.sandboxId, timeoutSignal());
      await deleteAll(snapshots, [snapshot]);
    });

    it('can be restored many times at once, independently', async (context) => {
      const snapshots = snapshotsOf(context);
      const { create } = get();
      const snapshot = await snapshotAfter(snapshots, 'mkdir d && echo one > d/f');
      const restored = await Promise.all(Array.from({ length: 6 }, () => create(from(snapshot.snapshotId))));
      await Promise.all(
        restored.map((sandbox, index) => shell(sandbox, `echo ${index} >> d/f; rm -rf ${index}`)),
      );
      const contents = await Promise.all(restored.map((sandbox) => shell(sandbox, 'cat d/f')));
      expect(contents).toEqual(restored.map((_, index) => `one\n${index}`));
      for (const { sandboxId } of restored) await get().engine.stop(sandboxId, 'requested', timeoutSignal());
      const again = await create(from(snapshot.snapshotId));
      expect(await shell(again, 'cat d/f')).toBe('one');
      await deleteAll(snapshots, [snapshot]);
    });

    it('are layered, including what was removed and recreated in between', async (context) => {
      const snapshots = snapshotsOf(context);
      const { engine, create } = get();
      // In the cloud the platform layers them; the engine requests each the same way.
      const depth = extent !== 'whole' || engine.name === 'vercel' ? 3 : 12;
      const top = depth - 1;
      const chain = [await snapshotAfter(snapshots, 'mkdir -p d/old && echo 0 > n0 && echo x > d/old/x')];
      for (let index = 1; index < depth; index += 1) {
        const script = `test "$(cat n${index - 1})" = ${index - 1} && echo ${index} > n${index} &&
          rm -rf n${index - 1} d && test ! -e d && mkdir d && echo ${index} > d/only && echo line${index} >> log &&
          echo ${index} > /etc/generation`;
        chain.push(await snapshotAfter(snapshots, script, chain.at(-1)));
      }
      const last = await create(from(chain.at(-1)?.snapshotId ?? ''));
      expect(await shell(last, 'ls && ls d && cat d/only /etc/generation && wc -l < log')).toBe(
        `d\nlog\nn${top}\nonly\n${top}\n${top}\n${top}`,
      );
      // Deletes the middle ones first: the last one keeps working, in a running sandbox and in a new one.
      await deleteAll(snapshots, chain.slice(0, -1));
      expect(await shell(last, `cat n${top} && echo more >> log`)).toBe(`${top}`);
      const after = await create(from(chain.at(-1)?.snapshotId ?? ''));
      expect(await shell(after, 'wc -l < log')).toBe(`${top}`);
      await deleteAll(snapshots, chain.slice(-1));
      expect(await shell(after, 'cat log | tail -n 1')).toBe(`line${top}`);
    });

    it('of one sandbox are taken one at a time', async (context) => {
      const snapshots = snapshotsOf(context);
      const { create, other } = get();
      const { sandboxId } = await create();
      const outcomes = await Promise.allSettled([
        snapshots.take(sandboxId, null, timeoutSignal()),
        snapshots.take(sandboxId, null, timeoutSignal()),
        other.snapshots?.take(sandboxId, null, timeoutSignal()),
      ]);
      const taken = outcomes.flatMap((outcome) =>
        outcome.status === 'fulfilled' && outcome.value ? [outcome.value] : [],
      );
      const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      expect(taken).toHaveLength(1);
      expect(refused.map(({ code }) => code)).toEqual(['conflict', 'conflict']);
      await expect(snapshots.take(sandboxId, null, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
      await deleteAll(snapshots, taken);
    });

    it('are rejected for an ended sandbox or too short an expiry, without any change', async (context) => {
      const snapshots = snapshotsOf(context);
      const { create, engine } = get();
      const { sandboxId } = await create();
      for (const expirationMs of [1, DAY_MS - 1, -1, Number.NaN, 1e300]) {
        await expect(snapshots.take(sandboxId, expirationMs, timeoutSignal())).rejects.toMatchObject({
          code: 'invalid_argument',
          message: expect.stringContaining(String(expirationMs)),
        });
      }
      const aborted = AbortSignal.abort();
      await expect(snapshots.take(sandboxId, null, aborted)).rejects.toMatchObject({ code: 'cancelled' });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
        status: 'running',
        stopCause: null,
      });
      const forever = await snapshots.take(sandboxId, 0, timeoutSignal());
      expect(forever.expiresAt).toBeNull();
      await deleteAll(snapshots, [forever]);
      const stopped = await create();
      await engine.stop(stopped.sandboxId, 'requested', timeoutSignal());
      await expect(snapshots.take(stopped.sandboxId, null, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    it('have a size, and no longer exist once deleted', async (context) => {
      const snapshots = snapshotsOf(context);
      const { create, other } = get();
      const taken = await snapshotAfter(snapshots, 'head -c 3000000 /dev/urandom > blob');
      const snapshot = await counted(snapshots, taken);
      expect(snapshot.sizeBytes).toBeGreaterThanOrEqual(3_000_000);
      expect(snapshot.sizeBytes).toBeLessThan(4_000_000);
      expect(await other.snapshots?.get(snapshot.snapshotId, timeoutSignal())).toEqual(snapshot);
      const child = await counted(snapshots, await snapshotAfter(snapshots, 'echo > more', snapshot));
      expect(child.sizeBytes).toBeGreaterThan(snapshot.sizeBytes);
      expect(await snapshots.delete(snapshot.snapshotId, timeoutSignal())).toMatchObject({
        status: 'deleted',
      });
      const notFound = { code: 'not_found', message: expect.stringContaining(snapshot.snapshotId) };
      await expect(snapshots.get(snapshot.snapshotId, timeoutSignal())).rejects.toMatchObject(notFound);
      await expect(snapshots.delete(snapshot.snapshotId, timeoutSignal())).rejects.toMatchObject(notFound);
      await expect(create(from(snapshot.snapshotId))).rejects.toMatchObject(notFound);
      await deleteAll(snapshots, [child]);
    });

    it('are not found by any other id, none of which escapes the state directory', async (context) => {
      const snapshots = snapshotsOf(context);
      const { create } = get();
      for (const id of [newSnapshotId(), '', '../x', 'snap_../../../../etc', 'snap_'.padEnd(5_000, 'a')]) {
        await expect(snapshots.get(id, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
        await expect(snapshots.delete(id, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
        await expect(create(from(id))).rejects.toMatchObject({ code: 'not_found' });
      }
    });

    it('are listed newest first, in pages', async (context) => {
      const snapshots = snapshotsOf(context);
      const first = await counted(snapshots, await snapshotAfter(snapshots, 'true'));
      const second = await counted(snapshots, await snapshotAfter(snapshots, 'true'));
      const query = { limit: 1, since: first.createdAt, until: null };
      const page = await snapshots.list({ ...query, cursor: null }, timeoutSignal());
      expect(page.items).toEqual([second]);
      const next = await snapshots.list({ ...query, cursor: page.nextCursor }, timeoutSignal());
      expect(next.items).toEqual([first]);
      expect(next.nextCursor).toBeNull();
      await expect(snapshots.list({ ...query, cursor: 'x' }, timeoutSignal())).rejects.toMatchObject({
        code: 'invalid_argument',
      });
      await deleteAll(snapshots, [first, second]);
    });

    it('keep their runtime, and reject another one before anything is created', async (context) => {
      const snapshots = snapshotsOf(context);
      const { engine, create } = get();
      const snapshot = await snapshotAfter(snapshots, 'true');
      const source = await engine.get(snapshot.sourceSandboxId, timeoutSignal());
      const request = createRequest({ ...from(snapshot.snapshotId), runtime: 'cobol1959' });
      await expect(engine.create(request, timeoutSignal())).rejects.toMatchObject({
        code: 'invalid_argument',
      });
      await expect(engine.get(request.sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'not_found',
      });
      const same = await create({ ...from(snapshot.snapshotId), runtime: source.runtime });
      expect(same.runtime).toBe(source.runtime);
      await deleteAll(snapshots, [snapshot]);
    });
  });
}

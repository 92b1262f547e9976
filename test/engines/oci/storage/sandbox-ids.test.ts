import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freeRangeBase, type IdMap } from '../../../../src/engines/oci/host/id-map.ts';
import { writeRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';
import { MappedDirectories } from '../../../../src/engines/oci/storage/mapped-directories.ts';
import {
  type ClaimingHost,
  claimSandbox,
  sandboxIds,
} from '../../../../src/engines/oci/storage/sandbox-ids.ts';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { exampleRecord } from '../support/example-record.ts';

const BASE = 1_900_019_712;
const mapping = [{ containerID: 0, hostID: BASE, size: 65_536 }];
const diskIds: IdMap = {
  ...{ kind: 'root', uidMappings: mapping, gidMappings: mapping },
  ...{ hostUid: BASE, hostGid: BASE, uid: 1000, gid: 1000 },
};

let layout: StateLayout;
let host: ClaimingHost;
beforeEach(() => {
  layout = new StateLayout(mkdtempSync(join(tmpdir(), 'ids-')));
  mkdirSync(layout.sandboxes);
  host = { layout, diskIds, mounts: 'by-root', canSeparateIds: true };
});
afterEach(() => rmSync(layout.stateDir, { recursive: true }));

const claim = (sandboxId: string) => claimSandbox(host, exampleRecord(sandboxId));

/** Ids of sandboxes that would choose the same range. */
function alike(count: number): string[] {
  const byBase = new Map<number, string[]>();
  for (;;) {
    const sandboxId = newSandboxId();
    const base = freeRangeBase(sandboxId, []);
    const found = [...(byBase.get(base) ?? []), sandboxId];
    if (found.length === count) return found;
    byBase.set(base, found);
  }
}

describe('the ids of a sandbox', () => {
  it('are those of no other that lives, also if all are claimed at once', async () => {
    const claimed = await Promise.all([...alike(3), ...alike(2)].map(claim));
    const bases = claimed.map(({ record }) => record.idBase);
    expect(new Set(bases).size).toBe(5);
    expect(bases).not.toContain(null);
    for (const { paths, record } of claimed)
      expect(JSON.parse(readFileSync(paths.record, 'utf8'))).toMatchObject({ idBase: record.idBase });
  });

  it('are free again once it has ended', async () => {
    const [one = '', two = '', three = '', four = ''] = alike(4);
    const { paths, record } = await claim(one);
    const other = (await claim(two)).record.idBase;
    expect(other).not.toBe(record.idBase);
    await writeRecord(paths, { ...record, endedAt: 1 });
    expect((await claim(three)).record.idBase).toBe(record.idBase);
    expect([record.idBase, other]).not.toContain((await claim(four)).record.idBase);
  });

  it('are those of the disk where they cannot be mapped', async () => {
    for (const altered of [{ canSeparateIds: false }, { mounts: 'by-runtime' as const }]) {
      const { record } = await claimSandbox({ ...host, ...altered }, exampleRecord(newSandboxId()));
      expect(record.idBase).toBeNull();
      expect(sandboxIds(host, record)).toBe(diskIds);
      const mapped = new MappedDirectories(host, layout.sandbox(record.sandboxId), record);
      expect([...mapped.places(), ...mapped.launchOptions()]).toEqual([]);
      expect(mapped.forRuntime(layout.images)).toBe(layout.images);
    }
  });

  it('lead to its files through mounts of the directories that it needs, and no others', async () => {
    const { paths, record } = await claim(newSandboxId());
    expect(sandboxIds(host, record)).toMatchObject({ hostUid: record.idBase, uid: 1000 });
    const mapped = new MappedDirectories(host, paths, record);
    expect(mapped.launchOptions()).toEqual([
      ...['--disk-ids', String(BASE)],
      ...['--map-disk', paths.layers, 'o', 'rw'],
      ...['--map-disk', layout.etcTemplates, 'e', 'ro'],
    ]);
    expect(mapped.inBundle(join(paths.upper, 'home'))).toBe('o/upper/home');
    expect(mapped.forRuntime(join(paths.upper, 'home'))).toBe(join(paths.bundle, 'o/upper/home'));
    expect(mapped.inBundle('/usr')).toBe('/usr');
    expect(mapped.inBundle(`${layout.etcTemplates}-other/etc`)).toBe(`${layout.etcTemplates}-other/etc`);
  });
});

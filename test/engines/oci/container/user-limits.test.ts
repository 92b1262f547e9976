import { describe, expect, it } from 'vitest';
import { areLowered } from '../../../../src/engines/oci/container/user-limits.ts';

const HOST: Record<string, number> = { max_inotify_instances: 128, max_inotify_watches: 50_001 };
const onHost = async (name: string) => HOST[name] ?? null;
const inside = (limits: Record<string, number>) => async (name: string) => limits[name] ?? null;

describe('the limits of a user are lowered', () => {
  it('if all that the kernel has are at most half of the host’s', async () => {
    const limits = { max_inotify_instances: 64, max_inotify_watches: 25_000 };
    expect(await areLowered(onHost, inside(limits))).toBe(true);
    expect(await areLowered(onHost, inside({ ...limits, max_inotify_watches: 25_001 }))).toBe(false);
  });

  it('unless one cannot be read', async () => {
    expect(await areLowered(onHost, inside({ max_inotify_instances: 64 }))).toBe(false);
  });

  it('on a kernel without them, and where they cannot be divided', async () => {
    expect(await areLowered(async () => null, inside({}))).toBe(true);
    expect(await areLowered(async () => 1, inside({}))).toBe(true);
  });
});

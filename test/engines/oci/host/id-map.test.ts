import { describe, expect, it } from 'vitest';
import { chooseSandboxRange, freeRangeBase } from '../../../../src/engines/oci/host/id-map.ts';

const SIZE = 65_536;
const paths = ['/var/lib/sandbox-mcp', '/home/anna/.local/state/sandbox-mcp', '/tmp/s', '/tmp/t'];

describe("the ids of a root server's sandboxes", () => {
  it('are the same for every server of a state directory, and others for other directories', () => {
    const bases = paths.map((path) => freeRangeBase(path, []));
    expect(paths.map((path) => freeRangeBase(path, []))).toEqual(bases);
    expect(new Set(bases).size).toBe(paths.length);
  });

  it('are whole ranges above those of containers and below the largest id', () => {
    for (const path of paths) {
      const base = freeRangeBase(path, []);
      expect(base % SIZE).toBe(0);
      expect(base).toBeGreaterThan(1_879_048_191);
      expect(base + SIZE - 1).toBeLessThan(2 ** 31);
    }
  });

  it('are not those that systemd gives to files of images', () => {
    const foreign = 2_147_352_576;
    const below = { owner: 'someone', start: 0, count: foreign - SIZE };
    expect(freeRangeBase('/s', [below])).toBe(foreign - SIZE);
    expect(() => freeRangeBase('/s', [{ ...below, count: foreign }])).toThrow('no free id range');
  });

  it('overlap no line of /etc/subuid', () => {
    const path = '/var/lib/sandboxes';
    const wanted = freeRangeBase(path, []);
    for (const [start, count] of [
      [wanted, SIZE],
      [wanted - 1, 2],
      [wanted + SIZE - 1, 1],
    ] as const) {
      const base = freeRangeBase(path, [{ owner: 'someone', start, count }]);
      expect(base >= start + count || base + SIZE <= start).toBe(true);
    }
    expect(() => freeRangeBase(path, [{ owner: 'someone', start: 0, count: 2 ** 32 }])).toThrow(
      'no free id range',
    );
  });
});

describe('the ids of one sandbox', () => {
  it('are those of no other sandbox and of no file', async () => {
    const taken: number[] = [];
    for (let count = 0; count < 20; count++) {
      const base = await chooseSandboxRange('sbx_222222222222', taken);
      expect(taken).not.toContain(base);
      taken.push(base ?? 0);
    }
    const all = Array.from({ length: 4_096 }, (_, index) => 1_879_048_192 + index * SIZE);
    expect(await chooseSandboxRange('sbx_222222222222', all)).toBeNull();
  });
});

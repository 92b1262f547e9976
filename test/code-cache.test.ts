import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { transformSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeCachePath, loadBundle } from '../src/code-cache.ts';

const LOADER = transformSync(readFileSync(join(import.meta.dirname, '../src/code-cache.ts'), 'utf8'), {
  loader: 'ts',
  format: 'cjs',
}).code;

interface Greeter {
  greet(): string;
}

let root = '';
let bundle = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'code-cache-'));
  bundle = join(root, 'server.cjs');
  writeBundle('first');
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function writeBundle(greeting: string): void {
  const greet = `module.exports = { greet() { return '${greeting} ' + require('node:path').basename(__filename); } };`;
  writeFileSync(bundle, `(function (require, module, __filename, __dirname) {${greet}\n})\n`);
}

function load(): { greeting: string; fromCache: boolean } {
  const { exports, fromCache } = loadBundle<Greeter>(bundle);
  return { greeting: exports.greet(), fromCache };
}

/** In a thread: V8 takes what it has compiled before from memory, without looking at a cache. */
async function writeCache(): Promise<void> {
  const program = `${LOADER}
    // Only functions that have run are in the cache.
    const loaded = loadBundle(${JSON.stringify(bundle)});
    loaded.exports.greet();
    require('node:fs').writeFileSync(codeCachePath(${JSON.stringify(bundle)}), loaded.codeCache());`;
  const [code] = await once(new Worker(program, { eval: true }), 'exit');
  expect(code).toBe(0);
}

describe('loadBundle', () => {
  it('compiles a bundle without a cache', () => {
    expect(load()).toEqual({ greeting: 'first server.cjs', fromCache: false });
  });

  it('uses the cache of the bundle', async () => {
    await writeCache();
    expect(load()).toEqual({ greeting: 'first server.cjs', fromCache: true });
  });

  it('ignores the cache of another bundle of the same length', async () => {
    await writeCache();
    writeBundle('other');
    expect(load()).toEqual({ greeting: 'other server.cjs', fromCache: false });
  });

  it.each([0, 40, 200])('ignores a cache of %i bytes', async (size) => {
    await writeCache();
    truncateSync(codeCachePath(bundle), size);
    expect(load()).toEqual({ greeting: 'first server.cjs', fromCache: false });
  });

  it('ignores a cache of another version of V8', async () => {
    await writeCache();
    const data = readFileSync(codeCachePath(bundle)).subarray(32);
    // The magic number, then the hash of the version.
    data.writeUInt32LE(data.readUInt32LE(4) ^ 1, 4);
    const digest = createHash('sha256').update(readFileSync(bundle)).update(data).digest();
    writeFileSync(codeCachePath(bundle), Buffer.concat([digest, data]));
    expect(load()).toEqual({ greeting: 'first server.cjs', fromCache: false });
  });

  it('ignores a cache with a changed byte, wherever it is', async () => {
    await writeCache();
    const cache = readFileSync(codeCachePath(bundle));
    for (const at of [0, 31, 32, 60, cache.length >> 1, cache.length - 1]) {
      const damaged = Buffer.from(cache);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      writeFileSync(codeCachePath(bundle), damaged);
      expect(load()).toEqual({ greeting: 'first server.cjs', fromCache: false });
    }
  });

  it('names the bundle in the stack of an error', () => {
    writeFileSync(
      bundle,
      "(function (require, module) {\nmodule.exports = () => { throw new Error('x'); };\n})",
    );
    const { exports } = loadBundle<() => void>(bundle);
    let stack: string | undefined;
    try {
      exports();
    } catch (error) {
      stack = error instanceof Error ? error.stack : undefined;
    }
    expect(stack).toContain(`${bundle}:2:`);
  });
});

/** Bundles a test's program into one file: started from sources, it takes ten times as long. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Bundled CommonJS modules load Node's modules with `require`, which an ES module does not have. */
const REQUIRE =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

export interface Bundle {
  path: string;
  remove(): Promise<void>;
}

/** @throws the compiler's message */
export async function bundle(entry: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'bundle-'));
  const path = join(folder, 'program.mjs');
  const remove = () => rm(folder, { recursive: true });
  try {
    await build({
      entryPoints: [entry],
      outfile: path,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      banner: { js: REQUIRE },
      logLevel: 'error',
    });
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, remove };
}

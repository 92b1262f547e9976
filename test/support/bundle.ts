/** A test's own program in one file: started from its sources it takes ten times as long. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Bundled CommonJS modules still ask for Node's own modules by `require`, which an ES module does not have. */
const REQUIRE =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

export interface Bundle {
  path: string;
  remove(): Promise<void>;
}

/** @throws the compiler's words */
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

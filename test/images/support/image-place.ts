/** A separate engine for tests of images, with a folder for archives. */
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, Image, Images, ImportImage } from '../../../src/engines/engine.ts';
import { createOciEngine } from '../../../src/engines/oci/index.ts';
import type { OciEngineOptions } from '../../../src/engines/oci/open-context.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { run } from '../../conformance/support/run.ts';
import { AGENT_PATH } from '../../engines/oci/support/oci-engines.ts';
import { warm } from '../../support/host/warm-state.ts';

export interface ImagePlace {
  engine: Engine;
  images: Images;
  stateDir: string;
  /** The path of a finished image's files. */
  tree(name: string): string;
  /** Writes bytes as an archive and imports it. */
  import(bytes: Buffer, request?: Partial<ImportImage>): Promise<Image>;
  /** The entries of the image directory, including unfinished images and locks. */
  left(): Promise<string[]>;
  /** Runs a script as root in a temporary sandbox with this runtime; fails unless it exits with 0. */
  script(runtime: string, script: string, sudo?: boolean): Promise<string>;
  /** Another engine on the same state, like that of another server. */
  another(): Engine;
  close(): Promise<void>;
}

export async function openImagePlace(options: Partial<OciEngineOptions> = {}): Promise<ImagePlace> {
  const home = await mkdtemp(join(tmpdir(), 'image-'));
  await chmod(home, 0o711);
  const stateDir = join(home, 's');
  await warm(stateDir);
  const opened: Engine[] = [];
  const another = () => {
    const engine = createOciEngine({
      stateDir,
      ociRuntime: 'auto',
      agentPath: AGENT_PATH,
      log: createLogger('silent'),
      ...options,
    });
    opened.push(engine);
    return engine;
  };
  const engine = another();
  if (engine.images === undefined) throw new Error('the engine has no images');
  const { images } = engine;
  let archives = 0;
  return {
    engine,
    images,
    stateDir,
    another,
    tree: (name) => join(stateDir, 'images', name, 'tree'),
    async import(bytes, request = {}) {
      archives += 1;
      const archive = join(home, `${archives}.tar`);
      await writeFile(archive, bytes);
      return images.import({ name: 'image', archive, maxBytes: 64 * 1_048_576, ...request }, timeoutSignal());
    },
    left: async () => (await readdir(join(stateDir, 'images'))).sort(),
    async script(runtime, script, sudo = true) {
      const shared = await engine.create(createRequest({ runtime }), timeoutSignal());
      try {
        const create = () => Promise.reject(new Error('a single id is enough'));
        const done = await run({ engine, other: engine, shared, create }, 'sh', ['-c', script], { sudo });
        if (done.exitCode !== 0)
          throw new Error(`${script}: ${done.exitCode}\n${done.stdout}\n${done.stderr}`);
        return done.stdout.trim();
      } finally {
        await engine.forget(shared.sandboxId, timeoutSignal());
      }
    },
    async close() {
      await Promise.all(opened.map((one) => one.close()));
      await rm(home, { recursive: true, force: true });
    },
  };
}

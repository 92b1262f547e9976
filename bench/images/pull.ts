/** A pull of an image, compared with skopeo and tar. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { serveImage } from './served-image.ts';

const MEGABYTES = 500;
const execute = promisify(execFile);
const manifestSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });

export const pull: Row = {
  name: 'pull',
  title: `an image of ${MEGABYTES} MB in five layers, from a registry on this machine to its files on disk`,
  bytes: MEGABYTES * 1_000_000,
  warmUps: 1,
  runs: 5,
  async open(dist) {
    const image = await serveImage(MEGABYTES);
    const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
    // The ids of sandboxes have to reach the state below it.
    await chmod(home, 0o711);
    const verb = (name: string) =>
      execute(process.execPath, [
        join(dist, 'main.js'),
        ...['image', name, image.reference, '--state-dir', join(home, 's')],
      ]);
    /** Times `work` once the disk has what was written before, and undoes it. */
    const timed = async (work: () => Promise<void>, undo: () => Promise<unknown>): Promise<number> => {
      await execute('sync');
      const started = performance.now();
      await work();
      const taken = performance.now() - started;
      await undo();
      return taken;
    };
    return {
      contenders: [
        {
          label: 'sandbox-mcp image pull',
          run: () =>
            timed(
              async () => {
                await verb('pull');
              },
              () => verb('remove'),
            ),
        },
        {
          label: 'skopeo copy to a directory, then tar for each layer',
          run: () => {
            const [downloaded, root] = [join(home, 'dir'), join(home, 'root')];
            return timed(
              () => byOthers(image.reference, downloaded, root),
              () => Promise.all([downloaded, root].map((path) => rm(path, { recursive: true }))),
            );
          },
        },
      ],
      async after() {
        await image.close();
        await rm(home, { recursive: true, force: true });
        return ['Only the first verifies the unpacked layers.'];
      },
    };
  },
};

async function byOthers(reference: string, directory: string, root: string): Promise<void> {
  await execute('skopeo', ['copy', '--src-tls-verify=false', `docker://${reference}`, `dir:${directory}`]);
  await execute('mkdir', [root]);
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')));
  for (const { digest } of manifest.layers) {
    const layer = join(directory, digest.replace('sha256:', ''));
    await execute('tar', ['--numeric-owner', '-xpf', layer, '-C', root]);
  }
}

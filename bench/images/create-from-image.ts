/** A sandbox of a pulled image, compared with one of the host's programs. */
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { serveImage } from './served-image.ts';

const created = z.object({ sandbox_id: z.string() });

export const createFromImage: Row = {
  name: 'create-from-image',
  title: 'sandbox_create to its answer, of an image that is there',
  warmUps: 2,
  runs: 20,
  async open(dist) {
    const image = await serveImage(50);
    const server = await openServer(dist, 'auto', ['--images', image.host]);
    const create = (runtime: string) => async (): Promise<number> => {
      const started = performance.now();
      const answer = await server.call('sandbox_create', { runtime, resources: { vcpus: 1 } });
      const taken = performance.now() - started;
      await server.call('sandbox_stop', { sandbox_id: created.parse(answer).sandbox_id, blocking: true });
      return taken;
    };
    return {
      contenders: [
        { label: 'of a pulled image', run: create(image.reference) },
        { label: "of the host's programs", run: create('host') },
      ],
      async after() {
        await server.close();
        await image.close();
        return ['The first sandbox, which pulls the image, is a warm-up.'];
      },
    };
  },
};

/** Opens the image store of a state directory; the agent unpacks images with the ids of the sandboxes. */
import { chmod, chown, mkdir } from 'node:fs/promises';
import { ImageStore } from '../../../images/image-store.ts';
import { Unpacker } from '../../../images/unpacker.ts';
import type { StateLayout } from '../state/state-layout.ts';
import { CA_DIR, CA_FILES } from './ca/ca-locations.ts';
import { BUNDLE_HOOK, BUNDLE_PATHS, ETC_LINKS } from './ca/ca-trust-links.ts';
import { type IdMap, idsOf } from './id-map.ts';
import { removeTrees } from './remove-tree.ts';
import { startInUserns } from './userns-program.ts';

/** Opens the store; the directory must exist. */
export function openImageStore(layout: StateLayout, agent: string, idMap: IdMap, arch: string): ImageStore {
  return new ImageStore({
    directory: layout.images,
    mode: idMap.kind === 'root' ? 0o711 : 0o700,
    arch,
    ids: idsOf(idMap),
    hasIds: idMap.kind !== 'single',
    caLinks: {
      javaKeystore: `${CA_DIR}/${CA_FILES.java}`,
      bundle: `${CA_DIR}/${CA_FILES.bundle}`,
      bundlePaths: BUNDLE_PATHS,
      hook: BUNDLE_HOOK,
      etc: ETC_LINKS,
    },
    async makeTree(path) {
      await mkdir(path, { mode: 0o700 });
      await chmod(path, 0o700);
      if (idMap.kind === 'root') await chown(path, idMap.hostUid, idMap.hostGid);
    },
    async startUnpacker(tree, layers, signal) {
      const args = ['unpack', tree, ...(layers === null ? [] : [layers])];
      return new Unpacker(await startInUserns(agent, idMap, agent, args, signal));
    },
    removeTrees: (paths) => removeTrees(agent, idMap, paths),
  });
}

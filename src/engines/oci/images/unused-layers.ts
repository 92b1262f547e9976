import type { Host } from '../host/host.ts';

/** Removes the layers that no image has and no pull uses. */
export async function removeUnusedLayers(host: Host): Promise<void> {
  // Loaded on demand: most servers never remove an image.
  const { LayerStore } = await import('../../../images/layer-store/layer-store.ts');
  await new LayerStore(host.images).removeUnused();
}

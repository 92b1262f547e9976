/** Downloads an image of a registry in memory into a folder of its own, for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Blob } from '../../../../src/images/registry/download-blob.ts';
import {
  downloadLayers,
  type PullProgress,
  type RemoteImage,
  resolveImage,
} from '../../../../src/images/registry/download-image.ts';
import { requireReference } from '../../../../src/images/registry/reference.ts';
import { RegistryClient } from '../../../../src/images/registry/registry-client.ts';
import {
  NO_REGISTRY_OPTIONS,
  type RegistryOptions,
} from '../../../../src/images/registry/registry-options.ts';
import { ARCHITECTURE, directory, ociLayout, sha256, tarOf } from '../../../support/archives.ts';

const layerOf = (path: string, content: Buffer) => {
  const plain = tarOf([directory('usr'), { path, content }]);
  return { plain, stored: gzipSync(plain, { level: 0 }) };
};

export const LAYERS = [
  layerOf('usr/a', Buffer.alloc(300_000, 'a')),
  layerOf('usr/b', Buffer.alloc(9_000, 'b')),
];
export const DIGESTS = LAYERS.map(({ stored }) => `sha256:${sha256(stored)}`);

/** An image for this machine, and one for another. */
export const LAYOUT = ociLayout([
  { architecture: 's390x', layers: [layerOf('usr/other', Buffer.from('other'))] },
  { architecture: ARCHITECTURE, layers: LAYERS },
]);

export interface Pull {
  host: string;
  /** `:tag` or `@digest`. */
  tag?: string;
  options?: Partial<RegistryOptions>;
  /** As for an image that an agent names. */
  guarded?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: PullProgress) => void;
  /** Called for each layer that has been downloaded. */
  onLayer?: (digest: string) => Promise<void>;
}

export async function makeFolder(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'pull-'));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Returns the image, with the paths of its layers in a folder that is removed with `folder`. */
export async function pullInto(
  folder: string,
  { host, tag = ':latest', options, guarded = false, signal, onProgress, onLayer }: Pull,
): Promise<RemoteImage & { paths: string[]; scratch: string }> {
  const scratch = await mkdtemp(join(folder, 'layers-'));
  const reference = requireReference(`${host}/team/app${tag}`);
  const all = { ...NO_REGISTRY_OPTIONS, idleMs: 5_000, retryPauseMs: 1, ...options };
  const client = await RegistryClient.open(reference, all, guarded ? all.closedBecause : null);
  const until = signal ?? new AbortController().signal;
  try {
    const wanted = reference.digest ?? reference.tag ?? '';
    const image = await resolveImage(client, wanted, process.arch, until);
    const found = new Map<string, string>();
    const use = async ({ digest }: Blob, path: string) => {
      found.set(digest, path);
      await onLayer?.(digest);
    };
    await downloadLayers(client, image.layers, scratch, onProgress ?? (() => {}), use, until);
    return { ...image, paths: image.layers.map(({ digest }) => found.get(digest) ?? ''), scratch };
  } finally {
    await client.close();
  }
}

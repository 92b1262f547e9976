/** Images of this engine: import, users of an image, and removal of unused ones. */
import { CA_LINKS_VERSION, type ImageRecord } from '../../../images/image-record.ts';
import { canonicalReference, parseReference, requireReference } from '../../../images/registry/reference.ts';
import { imageOfRuntime, shownReference } from '../../../images/registry/runtime-images.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { Image, Images, ImportImage, PullImage, PullState } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { hasExpired } from '../state/snapshot-record.ts';
import { readSandboxes, readSnapshots } from '../storage/snapshot-gc.ts';
import { removeUnusedLayers } from './unused-layers.ts';

/**
 * The active sandboxes and the snapshots that use each image. Rejects if a record is damaged: it might use
 * any image.
 */
async function usersOfImages(host: Host): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  const add = (image: string | null, id: string) => {
    if (image !== null) users.set(image, [...(users.get(image) ?? []), id]);
  };
  // Sandboxes first: one that is becoming a snapshot writes the snapshot's record before its own ends.
  for (const { endedAt, image, sandboxId } of await readSandboxes(host))
    if (endedAt === null) add(image, sandboxId);
  for (const snapshot of await readSnapshots(host)) {
    if (snapshot.status === 'created' && !hasExpired(snapshot)) add(snapshot.image, snapshot.snapshotId);
  }
  return users;
}

function notesOf(image: ImageRecord): string[] {
  const { flattenedOwners, skipped, skippedCount } = image;
  const notes: string[] = [];
  if (image.kind === 'rootfs' && image.caLinks < CA_LINKS_VERSION) {
    notes.push(
      'Made by an earlier version: some of its programs do not trust the CA of its sandboxes. Remove it, then import or pull it again.',
    );
  }
  if (flattenedOwners > 0) {
    notes.push(
      `${flattenedOwners} entries belong to root instead of their owner, whose id this user cannot map; package managers may fail.`,
    );
  }
  if (skippedCount > 0) {
    const more = skippedCount > skipped.length ? ` and ${skippedCount - skipped.length} more` : '';
    notes.push(`Left out: ${skipped.join('; ')}${more}.`);
  }
  return notes;
}

/** @param own the operator's table of short names */
function viewOf(image: ImageRecord, users: Map<string, string[]>, own: ReadonlyMap<string, string>): Image {
  const { name, kind, version, arch, sizeBytes, createdAt, digest, references } = image;
  return {
    name,
    references: references.map((reference) => shownReference(reference, own)),
    digest,
    kind,
    version,
    arch,
    sizeBytes,
    createdAt,
    usedBy: users.get(name) ?? [],
    notes: notesOf(image),
  };
}

export class OciImages implements Images {
  readonly #context: OciContext;

  constructor(context: OciContext) {
    this.#context = context;
  }

  /** The operator's table. */
  get #shortNames(): ReadonlyMap<string, string> {
    return this.#context.imagePolicy.runtimeImages;
  }

  async import(request: ImportImage, signal: AbortSignal): Promise<Image> {
    const host = await this.#context.host();
    throwIfCancelled(signal);
    await host.images.sweep();
    // Loaded on demand: most servers never import an image.
    const { importImage } = await import('../../../images/import-image.ts');
    try {
      return viewOf(await importImage(host.images, request, signal), new Map(), this.#shortNames);
    } catch (error) {
      throwIfCancelled(signal);
      if (error instanceof SandboxError) throw error;
      throw new SandboxError('invalid_argument', `The archive could not be imported: ${reasonOf(error)}.`, {
        hint: 'Check that it is complete, e.g. with `tar -tf`, and that the disk of the state directory has free space.',
        cause: error,
      });
    }
  }

  async pull(
    request: PullImage,
    signal: AbortSignal,
    report: ((state: PullState) => void) | null = null,
  ): Promise<Image> {
    const host = await this.#context.host();
    throwIfCancelled(signal);
    await host.images.sweep();
    await removeUnusedLayers(host);
    const { registries } = this.#context.imagePolicy;
    const reference = requireReference(
      imageOfRuntime(request.reference, this.#shortNames) ?? request.reference,
    );
    const { pullImage } = await import('../../../images/pull-image.ts');
    const { maxBytes } = request;
    const pull = { reference, maxBytes, trusted: true, onProgress: report };
    return viewOf(await pullImage(host.images, registries, pull, signal), new Map(), this.#shortNames);
  }

  async prune(signal: AbortSignal): Promise<Image[]> {
    const host = await this.#context.host();
    await host.images.sweep();
    const removed: Image[] = [];
    for (const image of await this.list()) {
      throwIfCancelled(signal);
      if (image.digest === null || image.usedBy.length > 0) continue;
      try {
        await host.images.remove(image.name, async () => (await usersOfImages(host)).get(image.name) ?? []);
        removed.push(image);
      } catch (error) {
        // A sandbox that started meanwhile uses it, or somebody else removed it.
        const passed = error instanceof SandboxError && ['conflict', 'not_found'].includes(error.code);
        if (!passed) throw error;
      }
    }
    await removeUnusedLayers(host);
    return removed;
  }

  async list(): Promise<Image[]> {
    const host = await this.#context.host();
    const users = await usersOfImages(host);
    const images: Image[] = [];
    for (const name of await host.images.names()) {
      const record = await host.images.find(name);
      if (record !== null) images.push(viewOf(record, users, this.#shortNames));
    }
    return images;
  }

  async remove(given: string): Promise<void> {
    const host = await this.#context.host();
    const pulled = await this.#findPulled(host, given);
    if (pulled !== null && (await host.images.untag(pulled.image.name, pulled.reference))) return;
    const name = pulled?.image.name ?? given;
    await host.images.remove(name, async () => (await usersOfImages(host)).get(name) ?? []);
    await removeUnusedLayers(host);
  }

  /** The image that this reference or short name refers to; null for an image name. @throws `not_found` */
  async #findPulled(host: Host, given: string): Promise<{ image: ImageRecord; reference: string } | null> {
    if ((await host.images.names()).includes(given)) return null;
    const named = imageOfRuntime(given, this.#shortNames);
    const reference = parseReference(named ?? given);
    if (reference === null) return null;
    const canonical = canonicalReference(reference);
    const image = await host.images.findPulled(canonical);
    if (image !== null) return { image, reference: canonical };
    if (named !== null) throw await host.images.notFound(given);
    return null;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}

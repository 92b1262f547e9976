/** Which images can be pulled here, and for whom. */
import type { ImageSettings } from '../../../config/config.ts';
import { closedBecause, parseAddress } from '../../../egress/policy/ip-ranges.ts';
import type { PullRequest } from '../../../images/pull-image.ts';
import { ImageRules } from '../../../images/registry/image-rules.ts';
import type { ImageReference } from '../../../images/registry/reference.ts';
import {
  DEFAULT_IDLE_MS,
  DEFAULT_MAX_IMAGE_BYTES,
  DEFAULT_PULL_MS,
  DEFAULT_RETRY_PAUSE_MS,
  type RegistryOptions,
} from '../../../images/registry/registry-options.ts';

export const NO_IMAGE_SETTINGS: ImageSettings = {
  allowed: null,
  runtimeImages: new Map(),
  mirrors: new Map(),
  insecure: [],
  credentialFiles: [],
};

export class ImagePolicy {
  /** The operator's images for the names of runtimes. */
  readonly runtimeImages: ReadonlyMap<string, string>;
  readonly registries: RegistryOptions;
  readonly #allowed: readonly string[] | null;
  readonly #rules: ImageRules;

  constructor({ allowed, runtimeImages, mirrors, insecure, credentialFiles }: ImageSettings) {
    this.runtimeImages = runtimeImages;
    this.#allowed = allowed;
    this.#rules = new ImageRules(allowed);
    this.registries = {
      mirrors,
      insecure,
      credentialFiles,
      idleMs: DEFAULT_IDLE_MS,
      retryPauseMs: DEFAULT_RETRY_PAUSE_MS,
      pullMs: DEFAULT_PULL_MS,
      closedBecause: (text) => {
        const address = parseAddress(text);
        return address === null ? 'unknown' : closedBecause(address);
      },
    };
  }

  /** For people and models. */
  describe(): string {
    return this.#allowed === null
      ? 'an image reference with a tag or digest (python:3.13-slim), pulled on first use'
      : `images, pulled on first use: ${this.#allowed.join(', ')}`;
  }

  /**
   * The pull of an image that an agent names.
   * @param byOperator the operator's own table leads to it
   * @throws `permission`
   */
  pullFor(
    reference: ImageReference,
    byOperator: boolean,
    onProgress: PullRequest['onProgress'],
  ): PullRequest {
    if (!byOperator) this.#rules.require(reference);
    const { registry } = reference;
    const configured = this.registries.mirrors.has(registry) || this.registries.insecure.includes(registry);
    const trusted = byOperator || configured || this.#rules.isListed(reference);
    return { reference, maxBytes: DEFAULT_MAX_IMAGE_BYTES, trusted, onProgress };
  }
}

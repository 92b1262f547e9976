/** The short names of runtimes (`node24`, `python3.13`) and the images that they stand for. */
import { canonicalReference, isExplicitReference, parseReference, shortReference } from './reference.ts';

/**
 * Official images, pinned: the digest, of the image's index for all architectures, decides which files everybody
 * gets, and the tag says what they are. Each release renews them (CONTRIBUTING.md).
 */
const PINNED: ReadonlyMap<string, string> = new Map([
  [
    'node20',
    'node:20.20.2-bookworm-slim@sha256:2cf067cfed83d5ea958367df9f966191a942351a2df77d6f0193e162b5febfc0',
  ],
  [
    'node22',
    'node:22.23.3-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c',
  ],
  [
    'node24',
    'node:24.21.0-bookworm-slim@sha256:2fe369e969550cde8e867afc3fe370b260140cab4a23d467074295b42163d553',
  ],
  [
    'node26',
    'node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2',
  ],
  [
    'python3.10',
    'python:3.10.21-slim-bookworm@sha256:68d914ec641a0b69267ce65184d000a2bc3a9ee2590ab702b82250ab2385735a',
  ],
  [
    'python3.11',
    'python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b',
  ],
  [
    'python3.12',
    'python:3.12.15-slim-bookworm@sha256:34386ef0cb081344d7ec1c103ba398e6e9f64e9ab3a1509accc92a4e24a07258',
  ],
  [
    'python3.13',
    'python:3.13.16-slim-bookworm@sha256:a1165e272e578941b84abc79e4ab38a0305cd12803a5c4247979ac7655f4d641',
  ],
  [
    'python3.14',
    'python:3.14.8-slim-bookworm@sha256:c8137f4c460908c8763f281c8f22c431eb5c538514ba9553fc3a89c06b7cfb88',
  ],
]);

/** Other versions, which have ended or were released later. The tag names the distribution, which is part of the choice. */
const BY_VERSION: readonly [name: RegExp, image: (version: string) => string][] = [
  [/^node([1-9]\d?)$/, (version) => `node:${version}-bookworm-slim`],
  [/^python(3\.\d{1,2})$/, (version) => `python:${version}-slim-bookworm`],
];

/**
 * The image for the name of a runtime, null if there is none.
 * @param own the operator's table, which wins
 */
export function imageOfRuntime(name: string, own: ReadonlyMap<string, string>): string | null {
  const chosen = own.get(name) ?? PINNED.get(name);
  if (chosen !== undefined) return chosen;
  for (const [pattern, image] of BY_VERSION) {
    const version = pattern.exec(name)?.[1];
    if (version !== undefined) return image(version);
  }
  return isExplicitReference(name) ? name : null;
}

/**
 * The short name that leads to a pinned image, since its digest tells people nothing. Null if there is none.
 * @param reference the image, as in its record
 */
export function runtimeOfImage(reference: string, own: ReadonlyMap<string, string>): string | null {
  const wanted = parseReference(reference);
  if (wanted?.digest == null) return null;
  for (const name of [...own.keys(), ...PINNED.keys()]) {
    const image = parseReference(imageOfRuntime(name, own) ?? '');
    if (image?.digest === wanted.digest && canonicalReference(image) === canonicalReference(wanted))
      return name;
  }
  return null;
}

/** The reference of an image as people write it, with the tag of a pinned image, which its record does not have. */
export function shownReference(reference: string, own: ReadonlyMap<string, string>): string {
  const name = runtimeOfImage(reference, own);
  return shortReference((name === null ? null : imageOfRuntime(name, own)) ?? reference);
}

/** Image references: `[registry/]repository[:tag][@digest]`, as Docker, containerd and Podman read them. */
import { SandboxError } from '../../shared/errors.ts';
import { DEFAULT_NAMESPACE, DEFAULT_REGISTRY } from './default-registry.ts';

export interface ImageReference {
  /** Host, with its port if one was given. */
  registry: string;
  repository: string;
  /** Null only if there is a digest. Next to one it is a remark for people: the digest decides alone. */
  tag: string | null;
  /** `sha256:` and 64 hexadecimal digits. */
  digest: string | null;
}

const MAX_LENGTH = 400;
const REGISTRY = /^([a-zA-Z0-9]([a-zA-Z0-9.-]{0,252}[a-zA-Z0-9])?|\[[0-9a-fA-F:]{2,45}\])(:[0-9]{1,5})?$/;
const SEPARATORS = /^(\.|_|__|-+)$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Lower-case letters and digits, separated by `.`, `_`, `__` or dashes. */
function isComponent(text: string): boolean {
  if (!/^[a-z0-9].{0,127}$/.test(text) || !/[a-z0-9]$/.test(text)) return false;
  return text.split(/[a-z0-9]+/).every((between) => between === '' || SEPARATORS.test(between));
}

/** The first component is a registry if it cannot be part of a name. */
function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(0, slash));
  if (first === 'localhost' || /[.:[]/.test(first)) return { registry: first, path: name.slice(slash + 1) };
  return { registry: DEFAULT_REGISTRY, path: slash < 0 ? `${DEFAULT_NAMESPACE}/${name}` : name };
}

/** Null if the text is not a reference. */
export function parseReference(text: string): ImageReference | null {
  if (text.length > MAX_LENGTH) return null;
  const at = text.indexOf('@');
  const digest = at < 0 ? null : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? null : named.slice(colon + 1);
  const { registry, path } = splitRegistry(colon < 0 ? named : named.slice(0, colon));
  const valid =
    REGISTRY.test(registry) &&
    path.length <= 255 &&
    path.split('/').every(isComponent) &&
    (tag === null || TAG.test(tag)) &&
    (digest === null || DIGEST.test(digest));
  if (!valid) return null;
  return { registry, repository: path, tag: digest === null ? (tag ?? 'latest') : tag, digest };
}

/** @throws `invalid_argument` with the format */
export function requireReference(text: string): ImageReference {
  const reference = parseReference(text);
  if (reference !== null) return reference;
  throw new SandboxError(
    'invalid_argument',
    `${JSON.stringify(text.slice(0, 200))} is not an image reference.`,
    {
      hint: 'Use NAME:TAG, REGISTRY/NAME:TAG, NAME@sha256:DIGEST or NAME:TAG@sha256:DIGEST, e.g. python:3.13-slim.',
    },
  );
}

/**
 * True for a text that names a tag, a digest or a path, unlike `alpine`, which may be a misspelled runtime.
 */
export function isExplicitReference(text: string): boolean {
  return /[/:@]/.test(text) && parseReference(text) !== null;
}

/** Identifies the image: always with the registry, and with a tag or a digest. */
export function canonicalReference({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${digest === null ? `:${tag}` : `@${digest}`}`;
}

/** All that is known, for messages: a tag and a digest if there are both. */
export function fullReference({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;
}

/** The short form that people use: without the default registry and namespace. */
export function familiarReference(reference: ImageReference): string {
  const full = fullReference(reference);
  if (reference.registry !== DEFAULT_REGISTRY) return full;
  const path = full.slice(DEFAULT_REGISTRY.length + 1);
  return path.startsWith(`${DEFAULT_NAMESPACE}/`) ? path.slice(DEFAULT_NAMESPACE.length + 1) : path;
}

/** A canonical reference as people write it. */
export function shortReference(canonical: string): string {
  const reference = parseReference(canonical);
  return reference === null ? canonical : familiarReference(reference);
}

/**
 * What a reference without a registry means. The format of references (as Docker, containerd and Podman read
 * it) defines these names; no other registry is named anywhere.
 */

/** The registry of `python:3.13`. */
export const DEFAULT_REGISTRY = 'docker.io';
/** Where its API is. */
export const DEFAULT_REGISTRY_API = 'https://registry-1.docker.io/';
/** Its keys in credential files. */
export const DEFAULT_REGISTRY_KEYS = ['docker.io', 'https://index.docker.io/v1/', 'index.docker.io'];
/** The namespace of a name without a slash. */
export const DEFAULT_NAMESPACE = 'library';

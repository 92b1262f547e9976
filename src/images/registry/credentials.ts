/**
 * Finds the credentials of a registry where Docker, Podman, buildah and skopeo keep them, credential helpers
 * included.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { whenSpawned } from '../../shared/async/when-spawned.ts';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { DEFAULT_REGISTRY, DEFAULT_REGISTRY_KEYS } from './default-registry.ts';
import type { ImageReference } from './reference.ts';

export type Credentials =
  | { kind: 'basic'; username: string; password: string }
  /** Exchanged for a bearer token (OAuth 2.0 refresh token). */
  | { kind: 'identity'; token: string };

const HELPER_MS = 20_000;
/** What a helper answers as the user name of an identity token. */
const IDENTITY_USER = '<token>';

const fileSchema = z.object({
  auths: z
    .record(z.string(), z.object({ auth: z.string().optional(), identitytoken: z.string().optional() }))
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});
const helperSchema = z.object({ Username: z.string(), Secret: z.string() });

/** Keys of a file in the order of precedence: the most specific path first, then the registry. */
function keysOf({ registry, repository }: ImageReference): string[] {
  const parts = [registry, ...repository.split('/')];
  const paths = parts.map((_, at) => parts.slice(0, parts.length - at).join('/'));
  return registry === DEFAULT_REGISTRY ? [...paths, ...DEFAULT_REGISTRY_KEYS] : paths;
}

/** Docker also writes keys as addresses, such as `https://registry.example/v1/`. */
function plainKey(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/v[12]\/?$/, '');
}

function unusable(what: string, cause: unknown): SandboxError {
  return new SandboxError('auth', `The credentials of a registry cannot be read: ${what}.`, {
    hint: 'The operator can log in again with `docker login`, `podman login` or `skopeo login`.',
    cause,
  });
}

function decodeBasic(encoded: string): Credentials | null {
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 1) return null;
  return { kind: 'basic', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** Runs `docker-credential-NAME get`. Null if the helper has none for this registry. */
async function askHelper(name: string, registry: string): Promise<Credentials | null> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return null;
  const program = `docker-credential-${name}`;
  try {
    const child = await whenSpawned(
      spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], timeout: HELPER_MS }),
    );
    const closed = once(child, 'close');
    // One that does not read its input says so by its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(registry);
    const [output, [code]] = await Promise.all([text(child.stdout), closed]);
    if (code !== 0) return null;
    const { Username, Secret } = helperSchema.parse(JSON.parse(output));
    return Username === IDENTITY_USER
      ? { kind: 'identity', token: Secret }
      : { kind: 'basic', username: Username, password: Secret };
  } catch (error) {
    throw unusable(`${program} failed`, error);
  }
}

async function fromFile(path: string, reference: ImageReference): Promise<Credentials | null> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    // Missing, or of another user.
    if (systemErrorCode(error) === null) throw error;
    return null;
  }
  let file: z.output<typeof fileSchema>;
  try {
    file = fileSchema.parse(JSON.parse(content));
  } catch (error) {
    throw unusable(`${path} is damaged`, error);
  }
  const keys = keysOf(reference);
  const helper = keys.map((key) => file.credHelpers?.[key]).find((name) => name !== undefined);
  const store = helper ?? file.credsStore;
  if (store !== undefined) {
    const requested = reference.registry === DEFAULT_REGISTRY ? DEFAULT_REGISTRY_KEYS : [reference.registry];
    for (const key of requested.slice(0, 2).reverse()) {
      const found = await askHelper(store, key);
      if (found !== null) return found;
    }
  }
  const auths = Object.entries(file.auths ?? {});
  for (const key of keys) {
    const entry = auths.find(([name]) => name === key || plainKey(name) === key)?.[1];
    if (entry?.identitytoken) return { kind: 'identity', token: entry.identitytoken };
    const found = entry?.auth === undefined ? null : decodeBasic(entry.auth);
    if (found !== null) return found;
  }
  return null;
}

/**
 * @param files highest precedence first; missing ones are ignored
 * @throws `auth` if a file or a helper is damaged
 */
export async function findCredentials(
  files: readonly string[],
  reference: ImageReference,
): Promise<Credentials | null> {
  for (const file of files) {
    const found = await fromFile(file, reference);
    if (found !== null) return found;
  }
  return null;
}

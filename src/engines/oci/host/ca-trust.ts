/** What makes a sandbox's programs trust its gateway: an authority of its own, beside the ones that the host trusts. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AuthorityPool, type StoredAuthority } from '../../../egress/tls/certificate-authority.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import { type JavaEntries, javaEntries, javaKeystore } from './java-keystore.ts';

/** Where a sandbox finds its trust: a directory of its own, which it cannot write. */
export const CA_DIR = '/run/sandbox-mcp';
export const CA_FILES = {
  /** The authority alone. */
  authority: 'ca.crt',
  /** The host's authorities and this one. */
  bundle: 'ca-bundle.crt',
  /** The same for Java. */
  java: 'cacerts',
} as const;

/** All authorities, for a sandbox on an image: where that keeps its own is its own business. */
export const IMAGE_BUNDLE = `${CA_DIR}/${CA_FILES.bundle}`;

/** Where systems keep all authorities in one file, the first that is there counts. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** What the host trusts, read once, and the authorities of sandboxes to come. */
export interface SystemCaBundle {
  /** PEM; empty where the host has no such file. */
  readonly bundle: string;
  /** The file that it was read from, which sandboxes have under the same name; null where there is none. */
  readonly path: string | null;
  readonly java: JavaEntries;
  readonly authorities: AuthorityPool;
}

/** Reads what the host trusts; what only some users may read counts as not there. */
export async function findSystemCaBundle(
  candidates: readonly string[] = SYSTEM_BUNDLES,
): Promise<SystemCaBundle> {
  const authorities = new AuthorityPool();
  for (const path of candidates) {
    try {
      const bundle = await readFile(path, 'utf8');
      return { bundle, path, java: javaEntries(bundle, 'host'), authorities };
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ENOTDIR') throw error;
    }
  }
  return { bundle: '', path: null, java: javaEntries('', 'host'), authorities };
}

/** Makes a sandbox's authority and the files that show it to programs. The key stays outside. */
export async function writeCaTrust(
  paths: SandboxPaths,
  sandboxId: string,
  system: SystemCaBundle,
): Promise<void> {
  const authority = await system.authorities.take();
  await mkdir(paths.caTrust, { mode: 0o755 });
  const { certificate } = authority;
  const bundle = `${system.bundle}\n# The gateway of ${sandboxId}\n${certificate}`;
  const java = javaKeystore([system.java, javaEntries(certificate, 'sandbox-mcp')]);
  const put = (name: string, content: string | Buffer) =>
    writeFile(join(paths.caTrust, name), content, { mode: 0o644, flag: 'wx' });
  await Promise.all([
    writeFile(paths.ca, JSON.stringify(authority), { mode: 0o600, flag: 'wx' }),
    put(CA_FILES.authority, certificate),
    put(CA_FILES.bundle, bundle),
    put(CA_FILES.java, java),
  ]);
}

const storedSchema = z.strictObject({ certificate: z.string(), key: z.string() });

/** The authority of a sandbox, in whichever server; null for a sandbox that was made without. */
export async function readCa(paths: SandboxPaths): Promise<StoredAuthority | null> {
  try {
    return storedSchema.parse(JSON.parse(await readFile(paths.ca, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** What leads programs to it that do not look where the system keeps it. */
export function caEnvironment(bundle: string): Record<string, string> {
  // Where the bundle is not in a place of the system's, nothing there leads to it.
  const more = bundle === IMAGE_BUNDLE ? { CURL_CA_BUNDLE: bundle, GIT_SSL_CAINFO: bundle } : {};
  return {
    ...more,
    NODE_EXTRA_CA_CERTS: `${CA_DIR}/${CA_FILES.authority}`,
    SSL_CERT_FILE: bundle,
    REQUESTS_CA_BUNDLE: bundle,
  };
}

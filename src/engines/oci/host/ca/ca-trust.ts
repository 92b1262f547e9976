/** Makes a sandbox's programs trust its gateway: a CA of its own, next to the CAs that the host trusts. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AuthorityPool, type StoredAuthority } from '../../../../egress/tls/certificate-authority.ts';
import { systemErrorCode } from '../../../../shared/errors.ts';
import { makeDirectory } from '../../../../shared/fs/state-directory.ts';
import type { SandboxPaths } from '../../state/state-layout.ts';
import { chromiumPolicy, FIREFOX_POLICY } from './browser-policies.ts';
import { CA_DIR, CA_FILES } from './ca-locations.ts';
import { type JavaEntries, javaEntries, javaKeystore } from './java-keystore.ts';

/** The CA bundle for a sandbox on an image, wherever the image keeps its own. */
export const IMAGE_BUNDLE = `${CA_DIR}/${CA_FILES.bundle}`;

/**
 * Variables that name a CA bundle: Node and Bun, OpenSSL, Python's requests and pip, curl, git, cargo, Deno,
 * gRPC.
 */
const CA_VARIABLES = [
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'CARGO_HTTP_CAINFO',
  'DENO_CERT',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
];

/** Where distributions keep the CA bundle; the first that exists is used. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** The host's CA bundle, read once. */
export interface SystemCaBundle {
  /** PEM; empty if the host has no such file. */
  readonly bundle: string;
  /** The file that it was read from, at the same path in sandboxes; null if there is none. */
  readonly path: string | null;
  readonly java: JavaEntries;
  readonly authorities: AuthorityPool;
}

/** Reads the host's CA bundle; a file that not every user may read counts as missing. */
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

/**
 * Creates a sandbox's CA and the files through which programs find it. The key stays outside the sandbox.
 * @param ofImage CA certificates that the sandbox's image brings, in PEM
 */
export async function writeCaTrust(
  paths: SandboxPaths,
  sandboxId: string,
  system: SystemCaBundle,
  ofImage = '',
): Promise<void> {
  const authority = await system.authorities.take();
  await makeDirectory(paths.caTrust, 0o755);
  const { certificate } = authority;
  const others = certificatesNotIn(system.bundle, ofImage);
  const bundle = `${system.bundle}\n${others}# The gateway of ${sandboxId}\n${certificate}`;
  const java = javaKeystore([
    system.java,
    javaEntries(others, 'image'),
    javaEntries(certificate, 'sandbox-mcp'),
  ]);
  const put = async (name: string, content: string | Buffer) => {
    await writeFile(join(paths.caTrust, name), content, { flag: 'wx' });
    await chmod(join(paths.caTrust, name), 0o644);
  };
  await Promise.all([
    writeFile(paths.ca, JSON.stringify(authority), { mode: 0o600, flag: 'wx' }),
    put(CA_FILES.authority, certificate),
    put(CA_FILES.bundle, bundle),
    put(CA_FILES.java, java),
    put(CA_FILES.chromium, chromiumPolicy(certificate)),
    put(CA_FILES.firefox, FIREFOX_POLICY),
  ]);
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** The certificates of `added` that `bundle` does not have; both in PEM. */
function certificatesNotIn(bundle: string, added: string): string {
  if (added === '') return '';
  const content = (pem: string): string => pem.replace(/\s/g, '');
  const known = new Set((bundle.match(CERTIFICATE) ?? []).map(content));
  const others = (added.match(CERTIFICATE) ?? []).filter((pem) => !known.has(content(pem)));
  return others.map((pem) => `${pem}\n`).join('');
}

const storedSchema = z.strictObject({ certificate: z.string(), key: z.string() });

/** The CA of a sandbox, whichever server created it; null for a sandbox without one. */
export async function readCa(paths: SandboxPaths): Promise<StoredAuthority | null> {
  try {
    return storedSchema.parse(JSON.parse(await readFile(paths.ca, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Environment variables for programs that bring a list of CAs of their own, and for all programs of an image,
 * whose system paths do not link to the bundle.
 *
 * @param bundle path inside the sandbox of the bundle with everything that the host trusts and the sandbox's
 *   own CA
 */
export function caEnvironment(bundle: string): Record<string, string> {
  return Object.fromEntries(CA_VARIABLES.map((name) => [name, bundle]));
}

/** Links the places where programs look for CA certificates to the sandbox's own CA bundle. */
import { chmod, lstat, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AUTHORITY_HASH } from '../../../../egress/tls/certificate-authority.ts';
import { systemErrorCode } from '../../../../shared/errors.ts';
import { pathExists } from '../../../../shared/fs/path-exists.ts';
import { makeDirectory } from '../../../../shared/fs/state-directory.ts';
import { POLICY_LINKS } from './browser-policies.ts';
import { CA_DIR, CA_FILES } from './ca-locations.ts';

/** CA bundle files below `/etc` on Debian, Alpine, Fedora and openSUSE; those that exist are replaced. */
const REPLACED: Readonly<Record<string, string>> = {
  'ssl/certs/ca-certificates.crt': CA_FILES.bundle,
  'ssl/cert.pem': CA_FILES.bundle,
  'ssl/ca-bundle.pem': CA_FILES.bundle,
  'pki/tls/cert.pem': CA_FILES.bundle,
  'pki/tls/certs/ca-bundle.crt': CA_FILES.bundle,
  'pki/ca-trust/extracted/pem/tls-ca-bundle.pem': CA_FILES.bundle,
  'ssl/certs/java/cacerts': CA_FILES.java,
  'pki/ca-trust/extracted/java/cacerts': CA_FILES.java,
};
/** OpenSSL's directory of single certificates, named by a hash of the subject. */
const HASHED = 'ssl/certs';
/**
 * A name that `openssl rehash`, which `update-ca-certificates` runs, links by hash, and that programs without
 * hashes read.
 */
const PEM_NAME = 'sandbox-mcp.pem';
/** The hook that `update-ca-certificates` runs after it has rewritten the bundle. */
const HOOKS = 'ca-certificates/update.d';
const HOOK = `#!/bin/sh
# Keeps the authority of this sandbox's gateway among the trusted ones.
[ -L /etc/ssl/certs/ca-certificates.crt ] ||
  cat ${CA_DIR}/${CA_FILES.authority} >> /etc/ssl/certs/ca-certificates.crt
`;

/** For images: where CA bundles are below `/etc`, */
export const BUNDLE_PATHS: readonly string[] = Object.entries(REPLACED)
  .filter(([, target]) => target === CA_FILES.bundle)
  .map(([path]) => path);
/** links to create below `/etc` where there is nothing, */
export const ETC_LINKS: readonly (readonly [path: string, target: string])[] = [
  ...POLICY_LINKS,
  ...[`${AUTHORITY_HASH}.0`, PEM_NAME].map(
    (name) => [`${HASHED}/${name}`, `${CA_DIR}/${CA_FILES.authority}`] as const,
  ),
];
/** and the hook of `update-ca-certificates`. */
export const BUNDLE_HOOK = { path: `${HOOKS}/sandbox-mcp`, text: HOOK };

/** Part of a template's name, so that another way of linking gives another template. */
export const CA_LINKS: unknown = [REPLACED, HASHED, PEM_NAME, HOOK, CA_DIR, AUTHORITY_HASH, POLICY_LINKS];

/** @param etc the copy of `/etc` being built; nothing outside it is touched, whatever its links point to */
export async function linkCaBundle(etc: string): Promise<void> {
  for (const [file, target] of Object.entries(REPLACED)) {
    const path = join(etc, file);
    if (!(await isInside(etc, dirname(path))) || !(await pathExists(path))) continue;
    await rm(path);
    await symlink(join(CA_DIR, target), path);
  }
  if (await isInside(etc, join(etc, HASHED))) {
    for (const name of [`${AUTHORITY_HASH}.0`, PEM_NAME]) {
      const path = join(etc, HASHED, name);
      if (!(await pathExists(path))) await symlink(join(CA_DIR, CA_FILES.authority), path);
    }
  }
  for (const [file, target] of POLICY_LINKS) {
    const path = join(etc, file);
    await makeDirectory(dirname(path), 0o755);
    if (!(await pathExists(path))) await symlink(target, path);
  }
  if (await isInside(etc, dirname(join(etc, HOOKS)))) {
    await makeDirectory(join(etc, HOOKS), 0o755);
    if (!(await isInside(etc, join(etc, HOOKS)))) return;
    const path = join(etc, HOOKS, 'sandbox-mcp');
    await rm(path, { force: true });
    await writeFile(path, HOOK);
    await chmod(path, 0o755);
  }
}

async function isInside(etc: string, directory: string): Promise<boolean> {
  try {
    const [root, real] = await Promise.all([realpath(etc), realpath(directory)]);
    return real.startsWith(`${root}/`) && (await lstat(real)).isDirectory();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return false;
    throw error;
  }
}

/**
 * What `su`, `runuser`, `sudo` and `useradd` need in `/etc`. The host's own is not readable, and may name
 * directory services that a sandbox cannot reach. No account has a password.
 */

import { join } from 'node:path';
import { pathExists } from '../../../shared/fs/path-exists.ts';

export interface GeneratedFile {
  text: string;
  mode: number;
}

/**
 * The stacks that the services of Debian's packages include, as pam-auth-update(8) writes them for local
 * accounts.
 */
const DEBIAN_STACKS: Readonly<Record<string, string>> = {
  'common-auth': stack('auth', 'pam_unix.so nullok'),
  'common-account': stack('account', 'pam_unix.so'),
  'common-password': stack('password', 'pam_unix.so obscure yescrypt'),
  'common-session': `${stack('session', 'pam_permit.so')}session required pam_unix.so\n`,
  'common-session-noninteractive': `${stack('session', 'pam_permit.so')}session required pam_unix.so\n`,
};

function stack(type: string, module: string): string {
  return `${type} [success=1 default=ignore] ${module}
${type} requisite pam_deny.so
${type} required pam_permit.so
`;
}

const SUDOERS = 'Defaults env_reset\nroot ALL=(ALL:ALL) NOPASSWD: ALL\n@includedir /etc/sudoers.d\n';

/**
 * Files below `/etc`, by their paths.
 * @param passwd, group the sandbox's own (passwd(5), group(5))
 */
export async function authenticationFiles(
  etc: string,
  { passwd, group }: { passwd: string; group: string },
): Promise<Record<string, GeneratedFile>> {
  const files: Record<string, GeneratedFile> = {
    shadow: { text: linesOf(passwd, (name) => `${name}:*:19000:0:99999:7:::`), mode: 0o640 },
    gshadow: { text: linesOf(group, (name) => `${name}:*::`), mode: 0o640 },
  };
  if (await pathExists(join(etc, 'pam.d/common-auth'))) {
    for (const [name, text] of Object.entries(DEBIAN_STACKS)) files[`pam.d/${name}`] = { text, mode: 0o644 };
  }
  // Where sudo is not installed, its package would take the file for one of the user's.
  if (await pathExists(join(etc, 'sudoers'))) files['sudoers'] = { text: SUDOERS, mode: 0o440 };
  return files;
}

function linesOf(accounts: string, line: (name: string) => string): string {
  const names = accounts
    .split('\n')
    .flatMap((account) => account.split(':', 1))
    .filter((name) => name !== '');
  return `${names.map(line).join('\n')}\n`;
}

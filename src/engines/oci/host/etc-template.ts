/**
 * The `/etc` of a sandbox: what `/usr` points into, and a few generated files. Only files that every user of the host
 * may read are copied, so nothing of it is a secret of the host's.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import { accountFiles } from './accounts.ts';
import { CA_LINKS, linkCaBundle } from './ca-trust-links.ts';

/** What programs in `/usr` expect to find, on Debian, Fedora, Arch, Alpine and openSUSE. */
const COPIED = [
  'adduser.conf',
  'alternatives',
  'apt',
  'bash.bashrc',
  'bashrc',
  'ca-certificates',
  'ca-certificates.conf',
  'crypto-policies',
  'debconf.conf',
  'debian_version',
  'deluser.conf',
  'dpkg',
  'ethertypes',
  'fonts',
  'inputrc',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'login.defs',
  'magic',
  'magic.mime',
  'mime.types',
  'mke2fs.conf',
  'nanorc',
  'netconfig',
  'os-release',
  'perl',
  'pki',
  'profile',
  'profile.d',
  'protocols',
  'python3',
  'python3.11',
  'rpc',
  'services',
  'shells',
  'skel',
  'ssl',
  'terminfo',
  'timezone',
  'vim',
  'wgetrc',
  'xdg',
];
/** Java keeps its configuration and trust store here: `java-17-openjdk`, `java-21-openjdk`, … */
const COPIED_PATTERN = /^(java|java-\d+(-openjdk)?|python3\.\d+)$/;
const MAX_FILE_BYTES = 16 * 1024 * 1024;

const GENERATED: Record<string, string> = {
  hostname: 'sandbox\n',
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n',
  'nsswitch.conf':
    'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  // The agent's gateway answers at any address; this one is nobody's.
  'resolv.conf': 'nameserver 10.0.2.3\noptions timeout:5 attempts:2\n',
  'host.conf': 'multi on\n',
};

/** A URL with a password in it, as package sources and proxies may have them: readable by all, meant for this host. */
const CREDENTIALS = /:\/\/[^/\s"']*@/;
/** Longer ones are collections of certificates, fonts and the like. */
const MAX_SETTINGS_BYTES = 65_536;
/** Nothing but credentials (apt_auth.conf(5)). */
const LEFT_OUT = ['auth.conf', 'auth.conf.d'];

async function entriesToCopy(etc: string): Promise<string[]> {
  const names = await readdir(etc);
  return names.filter((name) => COPIED.includes(name) || COPIED_PATTERN.test(name)).sort();
}

/** Copies one entry; links into /usr stay links, links elsewhere become what they lead to. */
async function copyEntry(from: string, to: string): Promise<void> {
  let info = await lstat(from);
  let source = from;
  if (info.isSymbolicLink()) {
    const target = await readlink(from);
    if (!target.startsWith('/') || target.startsWith('/usr/') || target.startsWith('/etc/alternatives/')) {
      await symlink(target, to);
      return;
    }
    try {
      source = await realpath(from);
      info = await stat(source);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return;
      throw error;
    }
  }
  if (info.isDirectory()) {
    if ((info.mode & 0o005) !== 0o005) return;
    await mkdir(to, { mode: 0o755 });
    for (const name of await readdir(source)) {
      if (!LEFT_OUT.includes(name)) await copyEntry(join(source, name), join(to, name));
    }
  } else if (info.isFile() && (info.mode & 0o004) !== 0 && info.size <= MAX_FILE_BYTES) {
    if (info.size <= MAX_SETTINGS_BYTES && CREDENTIALS.test(await readFile(source, 'latin1'))) return;
    await copyFile(source, to);
    await chmod(to, info.mode & 0o755);
  }
  await lutimes(to, info.atime, info.mtime).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
}

async function chownTree(path: string, uid: number, gid: number): Promise<void> {
  await lchown(path, uid, gid);
  if (!(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await chownTree(join(path, name), uid, gid);
}

/** A name that changes when the host's files change, or the ids they are to belong to. */
async function templateName(
  etc: string,
  names: string[],
  generated: Record<string, string>,
  uid: number,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([3, uid, generated, CA_LINKS]));
  const stamp = async (name: string) => {
    const info = await lstat(join(etc, name));
    hash.update(`${name}:${info.mtimeMs}:${info.size};`);
    return info;
  };
  for (const name of names) {
    // Some lead to folders of files, as the sources of packages do: a change there changes the folder.
    if (!(await stamp(name)).isDirectory()) continue;
    for (const inner of (await readdir(join(etc, name))).sort()) await stamp(join(name, inner));
  }
  return hash.digest('hex').slice(0, 12);
}

/**
 * Makes sure that the template for this host exists, and answers its name below `templatesDir`.
 * @param uid, gid host ids of the sandbox's root, who owns every file of it
 */
export async function ensureEtcTemplate(
  templatesDir: string,
  uid: number,
  gid: number,
  etc = '/etc',
): Promise<string> {
  const names = await entriesToCopy(etc);
  const generated = { ...GENERATED, ...(await accountFiles(etc)) };
  const name = await templateName(etc, names, generated, uid);
  const finished = join(templatesDir, name);
  try {
    await lstat(finished);
    return name;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  const building = temporaryName(join(templatesDir, `.${name}`));
  await mkdir(building, { mode: 0o755 });
  try {
    for (const entry of names) await copyEntry(join(etc, entry), join(building, entry));
    for (const [file, text] of Object.entries(generated))
      await writeFile(join(building, file), text, { mode: 0o644 });
    await symlink('/proc/self/mounts', join(building, 'mtab'));
    await linkCaBundle(building);
    await chmod(building, 0o755);
    if (process.getuid?.() === 0) await chownTree(building, uid, gid);
    await rename(building, finished);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    // Another server may have finished the same template first.
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  return name;
}

/**
 * The `/etc` of a sandbox: what programs in `/usr` need, and a few generated files. Only world-readable files
 * are copied, so it contains none of the host's secrets.
 */
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, lstatSync, readdirSync, type Stats, statSync, utimesSync } from 'node:fs';
import {
  chmod,
  lchown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setImmediate as otherEvents } from 'node:timers/promises';
import { systemErrorCode } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import { makeDirectory } from '../../../shared/fs/state-directory.ts';
import { accountFiles } from './accounts.ts';
import { authenticationFiles, type GeneratedFile } from './authentication.ts';
import { CA_LINKS, linkCaBundle } from './ca/ca-trust-links.ts';
import { chownTree, copyEntry } from './copy-settings.ts';
import { pristineConfigFiles } from './package-config.ts';
import { withoutServerData, writePackageState } from './package-database.ts';
import { copyPackageDirectories } from './package-directories.ts';
import { DPKG_DATABASE } from './system-directories.ts';

/** What programs in `/usr` expect in `/etc` on Debian, Fedora, Arch, Alpine and openSUSE. */
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
  'pam.d',
  'perl',
  'pki',
  'profile',
  'profile.d',
  'protocols',
  'python3',
  'python3.11',
  'rpc',
  'security',
  'services',
  'shells',
  'skel',
  'ssl',
  'terminfo',
  'timezone',
  'vim',
  'xdg',
];
/** Java's configuration and keystore: `java-17-openjdk`, `java-21-openjdk`, … */
const COPIED_PATTERN = /^(java|java-\d+(-openjdk)?|python3\.\d+)$/;
const GENERATED = {
  hostname: 'sandbox\n',
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n',
  'nsswitch.conf':
    'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  // The gateway answers at any address; this one is not assigned.
  'resolv.conf': 'nameserver 10.0.2.3\noptions timeout:5 attempts:2\n',
  'host.conf': 'multi on\n',
};

/** A package whose configuration files were not copied gets them when it is reinstalled inside. */
const DPKG_SETTINGS = { text: 'force-confmiss\n', mode: 0o644 };

async function entriesToCopy(etc: string): Promise<string[]> {
  const names = await readdir(etc);
  return names.filter((name) => COPIED.includes(name) || COPIED_PATTERN.test(name)).sort();
}

/**
 * A name that changes with the host's files and with the ids that will own them. At each start several hundred
 * files are looked at, mostly of `alternatives`: one by one with a promise each, this costs ten times as much.
 */
async function templateName(
  etc: string,
  names: string[],
  generated: Record<string, GeneratedFile>,
  database: string,
  uid: number,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([11, uid, generated, CA_LINKS]));
  const stamps: string[] = [];
  const stamp = (name: string) => {
    const info = lstatSync(join(etc, name));
    stamps.push(`${name}:${info.mtimeMs}:${info.size};`);
    return info;
  };
  for (const { mtimeMs, size } of await statusOf(database)) stamps.push(`status:${mtimeMs}:${size};`);
  for (const name of names) {
    // Some are directories, such as package sources: a change in one changes its mtime.
    if (!stamp(name).isDirectory()) continue;
    for (const inner of readdirSync(join(etc, name)).sort()) stamp(join(name, inner));
    await otherEvents();
  }
  return hash.update(stamps.join('')).digest('hex').slice(0, 12);
}

/** Of dpkg's `status` file; empty on hosts without dpkg. */
async function statusOf(database: string): Promise<Stats[]> {
  try {
    return [await stat(join(database, 'status'))];
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    return [];
  }
}

/** Next to a template: the state of the host's packages when the template was made. */
export function packageStateOf(template: string): string {
  return `${template}${DATABASE_SUFFIX}`;
}

/** The `/var` of new sandboxes; null for a template of an earlier version, or of a host without dpkg. */
export async function packageVariable(template: string): Promise<string | null> {
  const path = join(packageStateOf(template), VARIABLE);
  return (await pathExists(path)) ? path : null;
}

/** The template that an entry of the directory of templates belongs to. */
export function templateOf(entry: string): string {
  return entry.endsWith(DATABASE_SUFFIX) ? entry.slice(0, -DATABASE_SUFFIX.length) : entry;
}

const DATABASE_SUFFIX = '.dpkg';
const VARIABLE = 'var';

/**
 * Creates the template for this host unless it exists; returns its name below `templatesDir`.
 * @param uid, gid host ids of the sandbox's root, who owns every file of it
 */
export async function ensureEtcTemplate(
  templatesDir: string,
  uid: number,
  gid: number,
  root = '/',
): Promise<string> {
  const etc = join(root, 'etc');
  const database = join(root, DPKG_DATABASE);
  const names = await entriesToCopy(etc);
  const generated = await generatedFiles(etc);
  const hasDatabase = (await statusOf(database)).length > 0;
  const name = await templateName(etc, names, generated, database, uid);
  const finished = join(templatesDir, name);
  const asRoot = process.getuid?.() === 0;
  const state = createOnce(packageStateOf(finished), async (building) => {
    if (!hasDatabase) return;
    // Only root's sandboxes own /usr and can change the database.
    if (asRoot) await writePackageState(database, building);
    const variable = join(building, VARIABLE);
    await makeDirectory(variable, 0o755);
    const owned = await copyPackageDirectories(root, variable);
    if (!asRoot) return;
    chownTree(building, uid, gid);
    for (const { path, ...ids } of owned) await lchown(path, uid + ids.uid, gid + ids.gid);
  });
  const settings = createOnce(finished, async (building) => {
    for (const entry of names) {
      copyEntry(join(etc, entry), join(building, entry));
      await otherEvents();
    }
    if (hasDatabase) await copyPackageConfig(etc, database, building);
    for (const [file, { text, mode }] of Object.entries(generated)) {
      await makeDirectory(dirname(join(building, file)), 0o755);
      await writeFile(join(building, file), text);
      await chmod(join(building, file), mode);
    }
    await symlink('/proc/self/mounts', join(building, 'mtab'));
    await linkCaBundle(building);
    if (asRoot) chownTree(building, uid, gid);
  });
  await Promise.all([state, settings]);
  return name;
}

async function generatedFiles(etc: string): Promise<Record<string, GeneratedFile>> {
  const accounts = await accountFiles(etc);
  const readable = Object.entries({ ...GENERATED, ...accounts }).map(([name, text]) => [
    name,
    { text, mode: 0o644 },
  ]);
  return {
    ...Object.fromEntries(readable),
    ...((await pathExists(join(etc, 'dpkg'))) && { 'dpkg/dpkg.cfg.d/sandbox-mcp': DPKG_SETTINGS }),
    ...(await authenticationFiles(etc, accounts)),
  };
}

async function copyPackageConfig(etc: string, database: string, building: string): Promise<void> {
  // Those of packages that count as not installed come with the package: dpkg asks about files in its way.
  const status = withoutServerData(await readFile(join(database, 'status'), 'utf8'));
  for (const file of await pristineConfigFiles(etc, status)) {
    const [source, target] = [join(etc, file), join(building, file)];
    const info = statSync(source);
    await makeDirectory(dirname(target), 0o755);
    // Copied whole, even where settings were left out above: what a package ships is not a secret of this
    // host.
    copyFileSync(source, target);
    chmodSync(target, info.mode & 0o755);
    utimesSync(target, info.atime, info.mtime);
  }
}

/** Builds a directory under another name first, so that it is complete whenever it exists. */
async function createOnce(finished: string, build: (building: string) => Promise<void>): Promise<void> {
  if (await pathExists(finished)) return;
  const building = temporaryName(join(dirname(finished), `.${basename(finished)}`));
  await mkdir(building, { mode: 0o755 });
  try {
    await build(building);
    await chmod(building, 0o755);
    await rename(building, finished);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    // Another server may have created the same one first.
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

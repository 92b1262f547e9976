/**
 * Copies settings of the host, synchronously: a template takes thousands of file system calls that each last
 * microseconds, and passing each to the thread pool would cost ten times as much processor time. Callers let
 * other events pass between entries.
 */
import {
  chmodSync,
  copyFileSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import { MAX_SETTINGS_BYTES, visibleSettings } from './etc-settings.ts';

const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** Contains nothing but credentials (apt_auth.conf(5)). */
const LEFT_OUT = ['auth.conf', 'auth.conf.d'];

/**
 * Copies one entry with what is below it, without what a sandbox must not see. Links into /usr stay links,
 * other links are replaced by their target.
 */
export function copyEntry(from: string, to: string): void {
  const info = lstatSync(from);
  if (!info.isSymbolicLink()) {
    copyContent(from, info, to);
    return;
  }
  const target = readlinkSync(from);
  if (!target.startsWith('/') || target.startsWith('/usr/') || target.startsWith('/etc/alternatives/')) {
    symlinkSync(target, to);
    return;
  }
  const found = followLink(from);
  if (found !== null) copyContent(found.path, found.info, to);
}

/** Null for a link that leads nowhere. */
function followLink(link: string): { path: string; info: Stats } | null {
  try {
    const path = realpathSync(link);
    return { path, info: statSync(path) };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function copyContent(source: string, info: Stats, to: string): void {
  if (info.isDirectory()) {
    if ((info.mode & 0o005) !== 0o005) return;
    mkdirSync(to, { mode: 0o755 });
    // mkdir applies the umask.
    chmodSync(to, 0o755);
    for (const name of readdirSync(source)) {
      if (!LEFT_OUT.includes(name)) copyEntry(join(source, name), join(to, name));
    }
  } else {
    if (!info.isFile() || (info.mode & 0o004) === 0 || info.size > MAX_FILE_BYTES) return;
    if (!copyFileContent(source, to, info.size)) return;
    chmodSync(to, info.mode & 0o755);
  }
  lutimesSync(to, info.atime, info.mtime);
}

/** False for a file that a sandbox must not see. */
function copyFileContent(from: string, to: string, size: number): boolean {
  const content = size <= MAX_SETTINGS_BYTES ? readFileSync(from, 'latin1') : null;
  const visible = content === null ? null : visibleSettings(from, content);
  if (content !== null && visible === null) return false;
  if (visible === content) copyFileSync(from, to);
  else writeFileSync(to, visible ?? '', 'latin1');
  return true;
}

/** Makes everything below `path`, and itself, belong to these ids. */
export function chownTree(path: string, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) chownTree(inner, uid, gid);
    else lchownSync(inner, uid, gid);
  }
}

/** Which files of a workspace its sandbox does not see. */
import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import type { HostDirectory } from '../../shared/fs/host-directory.ts';
import { isIgnored, MAX_PATTERN_BYTES, parseIgnoreFile } from '../../shared/text/ignore-rules.ts';

/** Secrets, in the syntax of gitignore. docs/workspaces.md lists them. */
const SECRETS = [
  '.env*',
  '.ssh',
  '.aws',
  '.azure',
  '.config/gcloud',
  '.config/gh',
  '.docker/config.json',
  '.dockercfg',
  '.gnupg',
  '.kube',
  '.netrc',
  '_netrc',
  '.npmrc',
  '.pypirc',
  '.git-credentials',
  '.htpasswd',
  '.pgpass',
  '.my.cnf',
  '.s3cfg',
  '.boto',
  '.vault-token',
  '.terraform.d',
  '.terraformrc',
  'credentials',
  'credentials.json',
  'credentials.toml',
  'service-account*.json',
  'client_secret*.json',
  'application_default_credentials.json',
  'secrets.json',
  'secrets.toml',
  'secrets.yaml',
  'secrets.yml',
  'id_dsa',
  'id_ecdsa',
  'id_ecdsa_sk',
  'id_ed25519',
  'id_ed25519_sk',
  'id_rsa',
  '*.jks',
  '*.kdbx',
  '*.key',
  '*.keystore',
  '*.p12',
  '*.pem',
  '*.pfx',
  '*.ppk',
];
/** In the folder, with more rules. */
export const RULES_FILE = '.sandboxignore';
const MAX_RULES_BYTES = 65_536;

/** Decides about paths relative to the workspace, with slashes. */
export interface HiddenRules {
  /** Also for what is below a hidden directory. */
  hides(path: string, isDirectory: boolean): boolean;
  /** The same for a path with one character per byte. */
  hidesBytes(path: string, isDirectory: boolean): boolean;
}

/**
 * Case does not matter: some file systems do not tell `.ENV` from `.env`.
 *
 * @param text lines in the syntax of gitignore
 */
export function hiddenRules(text: string): HiddenRules {
  const scopes = [{ rules: parseIgnoreFile(bytesOf(text)), depth: 0 }];
  const hidesBytes = (path: string, isDirectory: boolean): boolean => {
    const parts = lowerCase(path).split('/');
    return parts.some((_, at) =>
      isIgnored(scopes, parts.slice(0, at + 1), isDirectory || at < parts.length - 1),
    );
  };
  return {
    hidesBytes,
    hides: (path, isDirectory) => hidesBytes(Buffer.from(path).toString('latin1'), isDirectory),
  };
}

/** One character per byte, as rules are matched. */
function bytesOf(text: string): string {
  return lowerCase(Buffer.from(text).toString('latin1'));
}

/** Of ASCII alone: other letters are bytes here. */
function lowerCase(bytes: string): string {
  return bytes.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/**
 * The rules of a folder: the default secrets, then its `.sandboxignore`, whose `!` lines can show some again.
 *
 * @throws `invalid_argument` for a `.sandboxignore` that is not a regular file of at most 64 KiB, or has rules that
 *   would be dropped: what they hide would be visible
 */
export async function readHiddenRules(folder: HostDirectory): Promise<string> {
  const rules = SECRETS.join('\n');
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(folder.at(RULES_FILE), flags);
    try {
      const stats = await file.stat();
      if (stats.isFile() && stats.size <= MAX_RULES_BYTES)
        return `${rules}\n${checkedRules(await file.readFile())}`;
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return rules;
    if (code === 'EACCES' || code === 'EPERM') throw unusable('cannot be read');
    if (code !== 'ELOOP') throw error;
  }
  throw unusable('is not a regular file of at most 64 KiB');
}

/** Without a byte order mark, which would otherwise be part of the first rule. */
function checkedRules(content: Buffer): string {
  if (content.includes(0) || !isUtf8(content)) throw unusable('is not UTF-8 text');
  const lines = content
    .toString()
    .replace(/^\ufeff/, '')
    .split('\n');
  const long = lines.findIndex(
    (line) => !line.startsWith('#') && Buffer.byteLength(line) > MAX_PATTERN_BYTES,
  );
  if (long !== -1) throw unusable(`has a rule of more than ${MAX_PATTERN_BYTES} bytes in line ${long + 1}`);
  return lines.join('\n');
}

/** The rule that hides one path. @throws `invalid_argument` for a path that is too long for a rule */
export function pathRule(path: string): string {
  const rule = `/${path.replace(/[\\*?[\] ]/g, '\\$&')}`;
  if (!path.includes('\n') && Buffer.byteLength(rule) <= MAX_PATTERN_BYTES) return rule;
  throw new SandboxError(
    'invalid_argument',
    "The workspace contains the server's state directory, which cannot be hidden.",
    { hint: 'Use a folder beside it, or ask the operator for a shorter --state-dir.', details: { path } },
  );
}

function unusable(problem: string): SandboxError {
  return new SandboxError('invalid_argument', `${RULES_FILE} ${problem}.`, {
    hint: 'Replace or remove it, then call sandbox_create again.',
  });
}

/** The text that names of a rule begin with, and the text that they end with. */
export function nameEnds(rule: string): { begin: string; end: string } | null {
  const text = bytesOf(rule.replace(/[ \r]{1,256}$/, ''));
  if (text === '' || text.startsWith('#') || text.startsWith('!')) return null;
  const name = text.replace(/\/$/, '').split('/').at(-1) ?? '';
  const special = name.search(/[*?[\\]/);
  if (special === -1) return { begin: name, end: '' };
  const last = Math.max(...['*', '?', '[', ']', '\\'].map((each) => name.lastIndexOf(each)));
  return { begin: name.slice(0, special), end: name.slice(last + 1) };
}

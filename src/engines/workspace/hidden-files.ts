/** Which files of a workspace its sandbox does not see. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import type { HostDirectory } from '../../shared/fs/host-directory.ts';
import { isIgnored, parseIgnoreFile } from '../../shared/text/ignore-rules.ts';

/** Secrets, in the syntax of gitignore. docs/workspaces.md lists them. */
const SECRETS = [
  '.env*',
  '.ssh',
  '.aws',
  '.azure',
  '.config/gcloud',
  '.docker/config.json',
  '.gnupg',
  '.kube',
  '.netrc',
  '_netrc',
  '.npmrc',
  '.pypirc',
  '.git-credentials',
  '.htpasswd',
  '.pgpass',
  '.vault-token',
  '.terraform.d',
  '.terraformrc',
  'credentials',
  'credentials.json',
  'credentials.toml',
  'service-account*.json',
  'secrets.json',
  'secrets.toml',
  'secrets.yaml',
  'secrets.yml',
  'id_dsa',
  'id_ecdsa',
  'id_ed25519',
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
 * @throws `invalid_argument` for a `.sandboxignore` that is not a regular file of at most 64 KiB
 */
export async function readHiddenRules(folder: HostDirectory): Promise<string> {
  const rules = SECRETS.join('\n');
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(folder.at(RULES_FILE), flags);
    try {
      const stats = await file.stat();
      if (stats.isFile() && stats.size <= MAX_RULES_BYTES) return `${rules}\n${await file.readFile('utf8')}`;
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return rules;
    if (code !== 'ELOOP') throw error;
  }
  throw new SandboxError('invalid_argument', `${RULES_FILE} is not a regular file of at most 64 KiB.`, {
    hint: 'Replace it with such a file, or remove it, then call sandbox_create again.',
  });
}

/** The text that names of a rule begin with, and the text that they end with. */
export function nameEnds(rule: string): { begin: string; end: string } | null {
  const text = bytesOf(rule.trim());
  if (text === '' || text.startsWith('#') || text.startsWith('!')) return null;
  const name = text.replace(/\/$/, '').split('/').at(-1) ?? '';
  const special = name.search(/[*?[\\]/);
  if (special === -1) return { begin: name, end: '' };
  const last = Math.max(...['*', '?', '[', ']', '\\'].map((each) => name.lastIndexOf(each)));
  return { begin: name.slice(0, special), end: name.slice(last + 1) };
}

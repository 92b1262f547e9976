/**
 * Which of the host's world-readable settings a sandbox may see. Everybody on the host may read them, but
 * what runs in a sandbox may send them away: a file may hold a token or a password, under whatever name. So
 * files of settings are copied if all that they set is known.
 */
import { basename } from 'node:path';

/** Longer files are collections of certificates, fonts and the like, not settings. */
export const MAX_SETTINGS_BYTES = 65_536;

/** A URL with a password, as package sources and proxies may have. */
const URL_WITH_PASSWORD = /:\/\/[^/\s"']*@/;
const PRIVATE_KEY = /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/;

/**
 * Variables and aliases that the start files of shells set: prompts, search paths, languages, history,
 * colours.
 */
const SHELL_NAMES: ReadonlySet<string> = new Set(
  [
    'PATH MANPATH INFOPATH PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 debian_chroot color_prompt force_color_prompt',
    'LANG LANGUAGE TERM TZ SHELL USER HOME LOGNAME HOSTNAME MAIL EDITOR VISUAL PAGER LS_COLORS GCC_COLORS',
    'ENV TMOUT EUID UID SHLVL i sh script profile ls ll la l dir vdir grep egrep fgrep efgrep which vi',
  ].flatMap((names) => names.split(' ')),
);
const SHELL_NAME_PATTERN = /^(LC_[A-Z]+|LESS\w*|HIST\w+|XDG_\w+_DIRS?|BASH_\w+)$/;
/** An assignment, also after `export`, `alias` or in the middle of a line, or one of the C shell. */
const SHELL_ASSIGNMENT = /(?:^|[\s;&|({"'])(?:(?:setenv|set)\s+([A-Za-z_]\w*)\s|([A-Za-z_]\w*)\+?=)/g;
const SHELL_FILES =
  /^(profile|bash\.bashrc|bashrc|bash_completion|\.profile|\.bashrc|\.bash_logout|\.bash_profile|.*\.c?sh)$/;

/**
 * The outermost names of apt.conf(5), lower case: how packages are installed and where from, not who does it.
 */
const APT_NAMES: ReadonlySet<string> = new Set(['apt', 'dpkg', 'dir']);
/** Those below `Acquire`. */
const APT_ACQUIRE_NAMES: ReadonlySet<string> = new Set([
  'languages',
  'gzipindexes',
  'compressiontypes',
  'retries',
  'forceipv4',
  'forceipv6',
  'pdiffs',
  'indextargets',
  'queue-mode',
  'max-validtime',
]);
/** Those below `Acquire::http` and `Acquire::https`. */
const APT_HTTP_NAMES: ReadonlySet<string> = new Set([
  'proxy',
  'timeout',
  'pipeline-depth',
  'cainfo',
  'verify-peer',
  'verify-host',
]);

/** Files of `name = value` or `name value` lines, in which lines with other names are left out. */
const LINE_NAMES: Readonly<Record<string, RegExp>> = {
  'login.defs': /^[A-Z][A-Z_]+$/,
  'adduser.conf': /^[A-Z][A-Z_]+$/,
  'deluser.conf': /^[A-Z][A-Z_]+$/,
};
/**
 * In these, and in other files of settings, a line with such a name is left out, whatever else is allowed.
 */
const SECRET_NAME = /passw|passphrase|pwd|secret|token|api_?key|credential|auth/i;
const SETTINGS_FILE = /(\.(conf|cnf|cfg|ini|defs)|rc)$/;

/** What of a file a sandbox sees; null for nothing. `content` as latin1, so that it is returned as it was. */
export function visibleSettings(path: string, content: string): string | null {
  if (URL_WITH_PASSWORD.test(content) || PRIVATE_KEY.test(content)) return null;
  const name = basename(path);
  if (SHELL_FILES.test(name)) return setsOnlyKnownVariables(content) ? content : null;
  if (path.includes('/apt/apt.conf')) return aptNames(content).every(isKnownAptName) ? content : null;
  const names = LINE_NAMES[name];
  if (names === undefined && !SETTINGS_FILE.test(name)) return content;
  const lines = content.split('\n');
  const kept = lines.filter((line) => isKnownSetting(line, names));
  return kept.length === lines.length ? content : kept.join('\n');
}

function setsOnlyKnownVariables(content: string): boolean {
  const code = content
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .join('\n');
  return [...code.matchAll(SHELL_ASSIGNMENT)].every(([, cShell, other]) => {
    const name = cShell ?? other ?? '';
    return SHELL_NAMES.has(name) || SHELL_NAME_PATTERN.test(name);
  });
}

function isKnownSetting(line: string, names: RegExp | undefined): boolean {
  const text = line.trim();
  if (text === '' || text.startsWith('#') || text.startsWith(';') || text.startsWith('[')) return true;
  const [name = ''] = text.split(/[\s=]/, 1);
  return !SECRET_NAME.test(name) && (names === undefined || names.test(name));
}

function isKnownAptName(name: string): boolean {
  const [first = '', second = '', third = ''] = name.toLowerCase().split('::');
  if (first !== 'acquire') return APT_NAMES.has(first);
  if (second === 'http' || second === 'https') return APT_HTTP_NAMES.has(third);
  return APT_ACQUIRE_NAMES.has(second) || second.startsWith('check-');
}

/**
 * The names outside of all braces, with `Acquire::http` for what is in `Acquire { http { … } }` left as
 * `Acquire`.
 */
function aptNames(content: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let word = '';
  let quoted = false;
  const code = content
    .split('\n')
    .filter((line) => !/^\s*(#|\/\/)/.test(line))
    .join('\n');
  for (const character of code) {
    if (quoted) quoted = character !== '"';
    else if (character === '"') quoted = true;
    else if (depth === 0 && /[\w:.-]/.test(character)) {
      word += character;
      continue;
    } else if (character === '{') depth += 1;
    else if (character === '}') depth -= 1;
    if (word !== '') found.push(word);
    word = '';
  }
  if (word !== '') found.push(word);
  return found;
}

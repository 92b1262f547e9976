/** No regular expression takes more than linear time, so that no input can hold the server up. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are source text
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { regularExpressions, slowExpressions } from './support/rules/regular-expressions.ts';

const ROOT = join(import.meta.dirname, '..');

/**
 * Expressions that the checker cannot decide or that are not linear, and why each is acceptable. Do not add
 * to this list.
 */
const REVIEWED: Readonly<Record<string, string>> = {
  'src/cli/verbs/tools.ts: /^.*?[.](?=\\s|$)/s': 'reads our own tool descriptions',
  'src/egress/http/request.ts: /^[a-z][a-z0-9+.-]*:\\/\\/([^/?#]*)(.*)$/i':
    'anchored, one way to match each part; the input has no line ends',
  'src/engines/oci/doctor/distro.ts: /^([\'"])(.*)\\1$/': 'anchored; reads /etc/os-release of the host',
  'src/engines/oci/doctor/distro.ts: new RegExp(`^${key}=(.*)$`, "m")': 'reads /etc/os-release of the host',
  'src/engines/oci/host/ca/java-keystore.ts: /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]+)-----END CERTIFICATE-----/g':
    'reads the host’s own CA bundle',
  "src/engines/oci/source/git-failure.ts: /transport '[^']*' not allowed|rotocol \"?[\\w.+-]+\"? (is )?(not supported|disabled|not allowed)|protocol error: only/":
    'a part never runs past the next quote or blank',
  "src/engines/oci/source/git-failure.ts: /repository '[^']*' not found|error: 404|not valid: is this a git repository|Repository not found/":
    'a part never runs past the next quote',
  "src/engines/vercel/sandbox/source.ts: /transport '[^']*' not allowed|protocol \"?[\\w.+-]+\"? (is )?(not supported|disabled|not allowed)/i":
    'a part never runs past the next quote or blank',
  'src/images/npm-registry.ts: /^\\s*([^#;\\s=][^=]*?)\\s*=\\s*(.*?)\\s*$/': 'reads the operator’s own npmrc',
  'src/server/instructions.ts: new RegExp(`\\\\b${name}\\\\b`)':
    'built from our own tool names, run on our own text',
  'src/shared/pagination.ts: /^(\\d{1,16})\\.([a-z]+_[0-9A-Za-z_-]{6,80})$/':
    'anchored; every part is bounded',
  'src/shared/text/combining-limit.ts: new RegExp(`${NO_CELL}+$`, "u")':
    'runs on text whose runs were cut to 16 characters',
  'src/shared/text/terminal-text.ts: new RegExp(`${ESCAPE}(?:[\\\\[(][0-9;:?]*|\\\\][^\\\\u0007${ESCAPE}]{0,256})?$`)':
    'each match starts at an escape character, which no part of it contains',
  'src/shared/text/text.ts: /\\B(?=(\\d{3})+$)/g': 'runs on a number of at most 16 digits',
};

const files = ['src', 'tools'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);
const found = files.flatMap((path) =>
  regularExpressions({ path, text: readFileSync(join(ROOT, path), 'utf8') }),
);

describe('regular expressions', () => {
  it('take linear time, except the reviewed ones', () => {
    expect(found.length).toBeGreaterThan(100);
    expect(slowExpressions(found.filter(({ path, text }) => !(`${path}: ${text}` in REVIEWED)))).toEqual([]);
  });

  it('are reviewed only while they exist', () => {
    const present = new Set(found.map(({ path, text }) => `${path}: ${text}`));
    expect(Object.keys(REVIEWED).filter((key) => !present.has(key))).toEqual([]);
  });

  it.each([
    ['const A = /^[a-z ]*=? *$/;', '/^[a-z ]*=? *$/: 2nd degree polynomial'],
    ['const B = new RegExp(`^${name}$`);', 'new RegExp(`^${name}$`): built at run time'],
    ["const C = 'x+'; const D = new RegExp(`(${C})+y`);", 'new RegExp(`(${C})+y`): exponential'],
  ])('are found when they backtrack: %s', (text, sentence) => {
    expect(slowExpressions(regularExpressions({ path: 'src/x.ts', text }))).toEqual([
      `src/x.ts: ${sentence}`,
    ]);
  });
});

/**
 * The rule that names are the usual terms: finds words that this project must not use for things with a
 * standard name.
 */
import { posix } from 'node:path';
import type { SourceFile } from './architecture.ts';

/** Words in names, and the usual terms. */
export const UNUSUAL_WORDS: Readonly<Record<string, string>> = {
  births: 'background create',
  birth: 'background create',
  unborn: 'pending',
  asked: 'requested',
  settle: 'reconcile',
  gone: 'disconnected, exited',
  remains: 'leftovers',
  ground: 'base layers, host network',
  carry: 'relay',
  carried: 'relayed, tracked',
  carries: 'relay',
  carrier: 'relay',
  bury: 'close',
  peek: 'sniff',
  spent: 'quota exceeded',
  onward: 'forwarded',
  hopeless: 'always denied',
  verdict: 'decision',
  unseen: 'uninspected',
  patience: 'timeout',
  look: 'get, refresh',
  looks: 'get, refresh',
  news: 'waitForChange',
  attend: 'addWaiter',
  attended: 'waiters',
  estate: 'session resources',
  elsewhere: 'ownedByOtherProcess',
  reaper: 'recovery',
  workable: 'requireStatus',
  hostile: 'untrusted',
  abandonable: 'raceAbort',
  worded: 'message',
  wordings: 'variants',
  garbage: 'protocol error',
  hunt: 'walk',
  spared: 'excluded',
  told: 'reported',
  tell: 'notify, report',
  telling: 'notifying',
  hands: 'callbacks',
  concerned: 'hasHeaderRules',
  followed: 'tracked',
  looked: 'refreshed',
  judge: 'evaluate',
  amiss: 'problem',
  anew: 'again',
  wall: 'isolation layer',
  walls: 'isolation layers',
};

/**
 * Names that contain such a word for a reason: `path: word`, or `folder/: word` for everything below a
 * folder.
 */
export const ALLOWED: Readonly<Record<string, string>> = {
  'agent/: reaper': 'the process that collects its children, as in PR_SET_CHILD_SUBREAPER',
  'agent/egress/nft-rules.c: verdict': 'constants of nf_tables: NFTA_DATA_VERDICT, NFT_REG_VERDICT',
  'src/registry/records/sandbox-record.ts: asked': 'a field of records that version 0.1.0 wrote',
  'src/engines/vercel/state/sandbox-record.ts: asked': 'fields of records that version 0.1.0 wrote',
  'src/engines/oci/state/sandbox-record.ts: ground': 'a field of records that version 0.1.0 wrote',
  'src/engines/oci/network/egress-log.ts: verdict': 'a field of records that version 0.1.0 wrote',
  'test/engines/oci/state/old-records.test.ts: ground': 'a record that version 0.1.0 wrote',
  'test/registry/records.test.ts: asked': 'a record that version 0.1.0 wrote',
  'test/engines/vercel/old-records.test.ts: asked': 'a record that version 0.1.0 wrote',
  'test/engines/oci/network/egress-log.test.ts: verdict': 'a record that version 0.1.0 wrote',
};

/** Sentences on file names and identifiers with an unusual word; `allowed` as in `ALLOWED`. */
export function unusualNames(
  files: readonly SourceFile[],
  allowed: Readonly<Record<string, string>> = {},
): string[] {
  return files.flatMap(({ path, text }) => {
    const names = [posix.basename(path), ...(code(text).match(/[A-Za-z_]\w*/g) ?? [])];
    const found = new Map<string, string>();
    for (const name of new Set(names)) {
      for (const word of wordsOf(name)) {
        if (Object.hasOwn(UNUSUAL_WORDS, word) && !isAllowed(path, word, allowed)) found.set(word, name);
      }
    }
    return [...found].map(([word, name]) => `${path}: ${name}: write ${UNUSUAL_WORDS[word]} for ${word}`);
  });
}

function isAllowed(path: string, word: string, allowed: Readonly<Record<string, string>>): boolean {
  const folders = path.split('/').map((_, depth, parts) => `${parts.slice(0, depth).join('/')}/`);
  return [path, ...folders].some((place) => Object.hasOwn(allowed, `${place}: ${word}`));
}

/** `recordAfterCutOff`, `CARRY_SPENT` and `cut-off.ts` in lower-case words. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
}

/** The text without comments, strings and regular expressions, judged line by line. */
function code(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replace(/`(?:[^`\\]|\\.)*`/g, (template) => (template.match(/\$\{[^}]*\}/g) ?? []).join(' '));
}

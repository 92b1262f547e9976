/** The rule that names are the field's terms: finds words that this project used to use for things that have a usual name. */
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
};

/** Sentences on file names and identifiers with an unusual word; `allowed` holds `path: word` with the reason. */
export function unusualNames(
  files: readonly SourceFile[],
  allowed: Readonly<Record<string, string>> = {},
): string[] {
  return files.flatMap(({ path, text }) => {
    const names = [posix.basename(path), ...(code(text).match(/[A-Za-z_]\w*/g) ?? [])];
    const found = new Map<string, string>();
    for (const name of new Set(names)) {
      for (const word of wordsOf(name)) {
        if (Object.hasOwn(UNUSUAL_WORDS, word) && !Object.hasOwn(allowed, `${path}: ${word}`))
          found.set(word, name);
      }
    }
    return [...found].map(([word, name]) => `${path}: ${name}: write ${UNUSUAL_WORDS[word]} for ${word}`);
  });
}

/** `recordAfterCutOff`, `CARRY_SPENT` and `cut-off.ts` in lower-case words. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
}

/** The text without comments, strings and regular expressions, as far as one line tells. */
function code(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replace(/`(?:[^`\\]|\\.)*`/g, (template) => (template.match(/\$\{[^}]*\}/g) ?? []).join(' '));
}

/** The rule that every export is used. */
import type { SourceFile } from './architecture.ts';

const DECLARATION =
  /^export (?:declare )?(?:async |abstract )*(const|let|function\*?|class|interface|type|enum) ([A-Za-z_$][\w$]*)/gm;
const COMMENTS = /\/\*[\s\S]*?\*\/|(?<=^|[^:'"`\\])\/\/.*$/gm;

/**
 * Exported names that no other file mentions. A type may be used only in its own file if it describes what an
 * exported function takes or returns.
 *
 * @param users every file that may import from `program`, `program` included
 */
export function unusedExports(program: readonly SourceFile[], users: readonly SourceFile[]): string[] {
  const words = users.map(({ path, text }) => ({ path, words: wordsOf(text) }));
  const mentions = new Map<string, string[]>();
  for (const file of words) {
    for (const word of file.words.keys()) mentions.set(word, [...(mentions.get(word) ?? []), file.path]);
  }
  return program.flatMap(({ path, text }) =>
    [...text.replace(COMMENTS, '').matchAll(DECLARATION)].flatMap(([, kind = '', name = '']) => {
      const isType = kind === 'interface' || kind === 'type';
      const elsewhere = (mentions.get(name) ?? []).some((user) => user !== path);
      const here = (wordsOf(text).get(name) ?? 0) > 1;
      return elsewhere || (isType && here) ? [] : [`${path}: nobody imports ${name}`];
    }),
  );
}

/** How often each identifier occurs. */
function wordsOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.replace(COMMENTS, '').matchAll(/[A-Za-z_$][\w$]*/g)) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

import type { SandboxFiles } from '../../../src/registry/types.ts';
import { pathText } from '../../common/byte-path.ts';
import type { PathPosition } from '../../common/path-cursor.ts';
import { type AnswerLine, withContext } from './context-lines.ts';
import type { SearchPage } from './search-page.ts';

/** Of a page with its context, which takes more than its matches. */
const MAX_CHARACTERS = 40_000;

export type FoundFile = {
  path: string;
  lines: AnswerLine[];
};

/** The part of a page that an answer has. */
export interface PageLines {
  files: FoundFile[];
  matches: number;
  /** Where the next page starts; null at the end. */
  end: PathPosition | null;
}

/**
 * Adds context to the matches of a page, which ends earlier if that is too long.
 *
 * @param root the directory that was searched, one character per byte
 */
export async function pageLines(
  files: Pick<SandboxFiles, 'read'>,
  root: string,
  page: Pick<SearchPage, 'files' | 'end'>,
  context: number,
  signal: AbortSignal,
): Promise<PageLines> {
  const found: FoundFile[] = [];
  let matches = 0;
  let characters = 0;
  let end: PathPosition | null = null;
  for (const each of page.files) {
    const lines: AnswerLine[] = [];
    found.push({ path: pathText(each.parts), lines });
    for (const line of await withContext(files, root, each, context, signal)) {
      characters += line.text.length;
      if (characters > MAX_CHARACTERS && end !== null) {
        return { files: found.filter(hasMatch), matches, end };
      }
      lines.push(line);
      if (line.context) continue;
      matches += 1;
      end = { parts: each.parts, line: line.line };
    }
  }
  return { files: found, matches, end: page.end };
}

function hasMatch({ lines }: FoundFile): boolean {
  return lines.some(({ context }) => context === undefined);
}

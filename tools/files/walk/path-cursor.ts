import { SandboxError } from '../../../src/shared/errors.ts';

const PREFIX = 'p.';
const MAX_CURSOR = 8_000;

/** Where a page of a walk ended: the parts of a path, one character per byte, and a line of that file. */
export interface PathPosition {
  parts: readonly string[];
  line: number;
}

export function pathCursor({ parts, line }: PathPosition): string {
  return `${PREFIX}${line.toString(36)}.${Buffer.from(parts.join('/'), 'latin1').toString('base64url')}`;
}

/** @throws `invalid_argument` for a text that is no cursor */
export function parsePathCursor(cursor: string | undefined, tool: string): PathPosition {
  if (cursor === undefined) return { parts: [], line: 0 };
  const match = cursor.length > MAX_CURSOR ? null : /^p\.([0-9a-z]{1,8})\.([\w-]+)$/.exec(cursor);
  const parts = Buffer.from(match?.[2] ?? '', 'base64url')
    .toString('latin1')
    .split('/');
  const isPath = parts.every((part) => !['', '.', '..'].includes(part) && !part.includes('\0'));
  if (match !== null && isPath) return { parts, line: Number.parseInt(match[1] ?? '', 36) };
  throw new SandboxError('invalid_argument', `Invalid \`cursor\` ${JSON.stringify(cursor.slice(0, 60))}.`, {
    hint: `Pass the next_cursor of the last ${tool}, or leave it out to start at the beginning.`,
  });
}

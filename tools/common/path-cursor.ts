import { createHash } from 'node:crypto';
import { SandboxError } from '../../src/shared/errors.ts';

const PREFIX = 'p';
/** A path in an upper layer has up to 8,191 bytes (agent/host/upper.c), and a third more here. */
const MAX_CURSOR = 11_000;
const TAG_LENGTH = 6;

/** Where a page ended: the parts of a path, one character per byte, and a line of that file. */
export interface PathPosition {
  parts: readonly string[];
  line: number;
}

/** The name of a tool, and the arguments that must be the same on every page. */
export type Call = readonly [tool: string, ...args: unknown[]];

export function pathCursor({ parts, line }: PathPosition, call: Call): string {
  const path = Buffer.from(parts.join('/'), 'latin1').toString('base64url');
  return [PREFIX, line.toString(36), tagOf(call), path].join('.');
}

/** @throws `invalid_argument` for a text that is no cursor, or one of another call */
export function parsePathCursor(cursor: string | undefined, call: Call): PathPosition {
  if (cursor === undefined) return { parts: [], line: 0 };
  const match = cursor.length > MAX_CURSOR ? null : /^p\.([0-9a-z]{1,8})\.([\w-]{6})\.([\w-]+)$/.exec(cursor);
  const [, line = '', tag, path = ''] = match ?? [];
  const parts = Buffer.from(path, 'base64url').toString('latin1').split('/');
  const isPath = parts.every((part) => !['', '.', '..'].includes(part) && !part.includes('\0'));
  if (match === null || !isPath) throw refused(cursor, call, 'is not valid');
  if (tag !== tagOf(call)) throw refused(cursor, call, 'is of a call with other arguments');
  return { parts, line: Number.parseInt(line, 36) };
}

function tagOf(call: Call): string {
  return createHash('sha256').update(JSON.stringify(call)).digest('base64url').slice(0, TAG_LENGTH);
}

function refused(cursor: string, [tool]: Call, problem: string): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `\`cursor\` ${JSON.stringify(cursor.slice(0, 60))} ${problem}.`,
    {
      hint: `Repeat the last ${tool} with its next_cursor, or leave cursor out to start at the beginning.`,
    },
  );
}

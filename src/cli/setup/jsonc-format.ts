/** Settings in JSON with comments and trailing commas. */
import {
  applyEdits,
  createScanner,
  findNodeAtLocation,
  getNodeValue,
  modify,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import { SandboxError } from '../../shared/errors.ts';
import type { ConfigFormat } from './config-format.ts';

export const jsoncFormat: ConfigFormat = {
  get(text, path) {
    const node = entryNode(text, path);
    return node === undefined ? undefined : getNodeValue(node);
  },

  set(text, path, entry) {
    entryNode(text, path);
    const edits = modify(text, [...path], entry, {
      formattingOptions: { ...indentOf(text), eol: text.includes('\r\n') ? '\r\n' : '\n' },
      // At the end, a comment behind the last entry would move to the new one.
      getInsertionIndex: () => 0,
    });
    const changed = applyEdits(text, edits);
    return text === '' ? `${changed}\n` : changed;
  },

  remove(text, path) {
    const property = entryNode(text, path)?.parent;
    if (property === undefined) return text;
    return without(text, property.offset, property.offset + property.length);
  },
};

/** The value at the path, once everything above it is known to be an object. */
function entryNode(text: string, path: readonly string[]): Node | undefined {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
  const [first] = errors;
  if (first !== undefined)
    throw new SandboxError(
      'invalid_argument',
      `It is not valid JSON: ${printParseErrorCode(first.error)} in line ${lineOf(text, first.offset)}.`,
      { hint: 'Correct the file, then run this again.' },
    );
  if (root === undefined) return undefined;
  for (let depth = 0; depth < path.length; depth++) {
    const above = path.slice(0, depth);
    const node = findNodeAtLocation(root, [...above]);
    if (node === undefined) return undefined;
    if (node.type !== 'object')
      throw new SandboxError(
        'invalid_argument',
        `It has ${node.type} where an object is expected: ${above.join('.') || 'the whole file'}.`,
        { hint: 'Correct the file, then run this again.' },
      );
  }
  return findNodeAtLocation(root, [...path]);
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** The indentation of the first indented line that is not a comment's continuation. */
function indentOf(text: string): { insertSpaces: boolean; tabSize: number } {
  const indent = /^([ \t]+)["}\]/]/m.exec(text)?.[1] ?? '  ';
  return indent.startsWith('\t')
    ? { insertSpaces: false, tabSize: 1 }
    : { insertSpaces: true, tabSize: indent.length };
}

/** Cuts a property with one comma and its own lines. The editor's own removal also drops comments next to it. */
function without(text: string, start: number, end: number): string {
  let before: number | null = null;
  let after: number | null = null;
  const scanner = createScanner(text, true);
  for (scanner.scan(); scanner.getTokenLength() > 0; scanner.scan()) {
    const offset = scanner.getTokenOffset();
    const comma = text[offset] === ',' ? offset : null;
    if (offset < start) before = comma;
    else if (offset >= end) {
      after = comma;
      break;
    }
  }
  const cutEnd = after === null ? end : after + 1;
  let lineStart = start;
  while (lineStart > 0 && ' \t'.includes(text.charAt(lineStart - 1))) lineStart -= 1;
  const restOfLine = /^[ \t]*(\r?\n|$)/.exec(text.slice(cutEnd))?.[0];
  const ownLines = restOfLine !== undefined && (lineStart === 0 || text[lineStart - 1] === '\n');
  const [from, to] = ownLines ? [lineStart, cutEnd + restOfLine.length] : [start, cutEnd];
  const head = text.slice(0, from);
  const cutHead = after === null && before !== null ? head.slice(0, before) + head.slice(before + 1) : head;
  return cutHead + text.slice(to);
}

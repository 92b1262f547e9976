/** A change of a workspace as a patch in git's format (git-diff(1)), which `git apply` takes. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { structuredPatch } from 'diff';
import type { WorkspaceChange, WorkspaceEntry } from '../../src/engines/engine.ts';

const DIFF_TIMEOUT_MS = 500;
const MAX_EDITS = 5_000;
const BASE85 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~';
const BINARY_LINE_BYTES = 52;
const NO_LINE_END = '\\ No newline at end of file';

/** The contents of both sides; null on the side where there is none. */
export interface Contents {
  before: Buffer | null;
  after: Buffer | null;
}

/** @param whole with the content of binary files; without it they are named with their sizes */
export function gitPatch(change: WorkspaceChange, { before, after }: Contents, whole: boolean): string {
  const from = change.from ?? change.path;
  const lines = [`diff --git ${quoted(`a/${from}`)} ${quoted(`b/${change.path}`)}`, ...header(change)];
  const one = before ?? Buffer.alloc(0);
  const other = after ?? Buffer.alloc(0);
  if (!one.equals(other) || (change.before === null) !== (change.after === null)) {
    lines.push(`index ${blobId(before)}..${blobId(after)}`);
    // Only a patch has to be exact: text in another encoding is shown with replacements.
    const isShown = whole ? isText : isWithoutNul;
    const hunks =
      isShown(one) && isShown(other) ? textHunks(one.toString('utf8'), other.toString('utf8')) : [];
    if (hunks.length > 0 || (isText(one) && isText(other))) {
      if (hunks.length > 0) {
        lines.push(`--- ${change.before === null ? '/dev/null' : quoted(`a/${from}`)}`);
        lines.push(`+++ ${change.after === null ? '/dev/null' : quoted(`b/${change.path}`)}`, ...hunks);
      }
    } else if (whole) {
      lines.push('GIT binary patch', ...literal(other), ...literal(one));
    } else {
      lines.push(`Binary files differ: ${one.length} bytes before, ${other.length} bytes after`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function header({ before, after, from, path }: WorkspaceChange): string[] {
  if (before === null) return after === null ? [] : [`new file mode ${gitMode(after)}`];
  if (after === null) return [`deleted file mode ${gitMode(before)}`];
  const modes =
    gitMode(before) === gitMode(after) ? [] : [`old mode ${gitMode(before)}`, `new mode ${gitMode(after)}`];
  if (from === null) return modes;
  return [...modes, 'similarity index 100%', `rename from ${quoted(from)}`, `rename to ${quoted(path)}`];
}

/** Git knows two modes of files. */
function gitMode({ type, mode }: WorkspaceEntry): string {
  if (type === 'symlink') return '120000';
  return (mode & 0o100) === 0 ? '100644' : '100755';
}

function blobId(content: Buffer | null): string {
  if (content === null) return '0'.repeat(40);
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

function isText(content: Buffer): boolean {
  return isWithoutNul(content) && isUtf8(content);
}

function isWithoutNul(content: Buffer): boolean {
  return !content.includes(0);
}

function textHunks(before: string, after: string): string[] {
  const patch = structuredPatch('', '', before, after, undefined, undefined, {
    context: 3,
    timeout: DIFF_TIMEOUT_MS,
    maxEditLength: MAX_EDITS,
  });
  if (patch === undefined) return replacement(before, after);
  return patch.hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => {
    const old = `${oldLines === 0 ? oldStart - 1 : oldStart},${oldLines}`;
    const next = `${newLines === 0 ? newStart - 1 : newStart},${newLines}`;
    return [`@@ -${old} +${next} @@`, ...lines];
  });
}

/** For texts that take too long to compare: all old lines, then all new ones. */
function replacement(before: string, after: string): string[] {
  const [old, next] = [signed('-', before), signed('+', after)];
  return [`@@ -${rangeOf(old)} +${rangeOf(next)} @@`, ...old, ...next];
}

function rangeOf(lines: string[]): string {
  const count = lines.filter((line) => line !== NO_LINE_END).length;
  return `${count === 0 ? 0 : 1},${count}`;
}

function signed(sign: string, text: string): string[] {
  if (text === '') return [];
  const lines = text.split('\n').map((line) => sign + line);
  if (text.endsWith('\n')) return lines.slice(0, -1);
  return [...lines, NO_LINE_END];
}

/** Git quotes names with special characters as C strings. */
function quoted(path: string): string {
  if (/^[ !#-[\]-~]*$/.test(path)) return path;
  const bytes = [...Buffer.from(path)].map((byte) => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
    return byte < 0x20 || byte > 0x7e ? `\\${byte.toString(8).padStart(3, '0')}` : String.fromCharCode(byte);
  });
  return `"${bytes.join('')}"`;
}

function literal(content: Buffer): string[] {
  const packed = deflateSync(content);
  const lines = [`literal ${content.length}`];
  for (let at = 0; at < packed.length; at += BINARY_LINE_BYTES) {
    const part = packed.subarray(at, at + BINARY_LINE_BYTES);
    const length = part.length;
    const letter = String.fromCharCode(length <= 26 ? 0x40 + length : 0x60 + length - 26);
    lines.push(letter + base85(part));
  }
  return [...lines, ''];
}

function base85(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) {
    const group = Buffer.alloc(4);
    bytes.copy(group, 0, at, at + 4);
    let value = group.readUInt32BE();
    let digits = '';
    for (let digit = 0; digit < 5; digit += 1) {
      digits = (BASE85[value % 85] ?? '') + digits;
      value = Math.floor(value / 85);
    }
    text += digits;
  }
  return text;
}

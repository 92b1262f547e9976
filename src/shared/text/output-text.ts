import { isUtf8 } from 'node:buffer';
import { terminalText } from './terminal-text.ts';
import { formatCount, plural } from './text.ts';
import { decodeUtf8 } from './utf8.ts';

/** Above this share of non-text bytes, output counts as binary data. */
const BINARY_SHARE = 0.1;

/**
 * A program's output as text, with terminal escapes resolved. Binary data is replaced by a note with its size
 * and `exactBytes`, the call that returns it unchanged; stray invalid bytes are shown as U+FFFD, with a note.
 */
export function outputText(bytes: Uint8Array, exactBytes: string): string {
  if (bytes.length === 0) return '';
  if (isBinary(bytes)) return `[${plural(bytes.length, 'byte')} of binary data; read with ${exactBytes}]`;
  const text = terminalText(decodeUtf8(bytes));
  if (isUtf8(bytes)) return text;
  return `${text}${text.endsWith('\n') ? '' : '\n'}[some bytes are not UTF-8, shown as \uFFFD; exact with ${exactBytes}]`;
}

/** Whether bytes look like binary data: many control characters, or many bytes that are not UTF-8. */
export function isBinary(bytes: Uint8Array): boolean {
  if (bytes.length === 0) return false;
  let odd = 0;
  for (const byte of bytes) if (isOddControl(byte)) odd++;
  if (!isUtf8(bytes)) odd += countInvalid(bytes);
  return odd > bytes.length * BINARY_SHARE;
}

/** A control character that neither text nor terminal programs use. */
function isOddControl(byte: number): boolean {
  if (byte >= 0x20) return byte === 0x7f;
  return byte < 0x07 || (byte > 0x0d && byte !== 0x0f && byte !== 0x0e && byte !== 0x1b);
}

function countInvalid(bytes: Uint8Array): number {
  let count = 0;
  for (const character of decodeUtf8(bytes)) if (character === '\uFFFD') count++;
  return count;
}

/** Replaces the omitted middle of a text. `lines` is null if they were not counted. */
export function omission(missing: { bytes: number; lines: number | null }, readWith: string): string {
  const lines = missing.lines === null ? '' : ` (${plural(missing.lines, 'line')})`;
  return `[… ${formatCount(missing.bytes)} bytes${lines} left out; read with ${readWith} …]`;
}

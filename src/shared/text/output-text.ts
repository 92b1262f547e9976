import { isUtf8 } from 'node:buffer';
import { terminalText } from './terminal-text.ts';
import { formatCount, plural } from './text.ts';
import { decodeUtf8 } from './utf8.ts';

/** Above this share of control characters, output counts as binary data. */
const BINARY_SHARE = 0.1;
/**
 * The same for what is not UTF-8. Text in other encodings has none; in compressed data every tenth byte is
 * one.
 */
const BINARY_SHARE_NOT_UTF8 = 0.03;

/** What `encoding` says about text that `isPlainText` refuses. */
export const NOT_PLAIN =
  'Some bytes are not UTF-8 text (shown as \uFFFD, NUL as ␀): encoding "base64" returns them unchanged.';

/**
 * A program's output as text, with terminal escapes resolved; bytes that are not UTF-8 are shown as U+FFFD.
 * Binary data is replaced by a note with its size and `exactBytes`, the call that returns it unchanged.
 */
export function outputText(bytes: Uint8Array, exactBytes: string): string {
  if (isBinary(bytes)) return `[${plural(bytes.length, 'byte')} of binary data; read with ${exactBytes}]`;
  return terminalText(decodeUtf8(bytes));
}

/** The same, with a last line about bytes that are not UTF-8. */
export function annotatedOutputText(bytes: Uint8Array, exactBytes: string): string {
  const text = outputText(bytes, exactBytes);
  if (isUtf8(bytes) || isBinary(bytes)) return text;
  return `${text}${text.endsWith('\n') ? '' : '\n'}[some bytes are not UTF-8, shown as \uFFFD; exact with ${exactBytes}]`;
}

/**
 * Whether bytes look like binary data, which has many control characters. Text in any 8-bit encoding does
 * not.
 */
export function isBinary(bytes: Uint8Array): boolean {
  let controls = 0;
  let nuls = 0;
  for (const byte of bytes) {
    if (isOddControl(byte)) controls++;
    if (byte === 0) nuls++;
  }
  if (controls > bytes.length * BINARY_SHARE) return true;
  return controls - nuls > bytes.length * BINARY_SHARE_NOT_UTF8 && !isUtf8(bytes);
}

/** A control character that neither text nor terminal programs use. */
function isOddControl(byte: number): boolean {
  if (byte >= 0x20) return byte === 0x7f;
  return byte < 0x07 || (byte > 0x0d && byte !== 0x0f && byte !== 0x0e && byte !== 0x1b);
}

/** Replaces the omitted middle of a text. `lines` is null if they were not counted. */
export function omission(missing: { bytes: number; lines: number | null }, readWith: string): string {
  const lines = missing.lines === null ? '' : ` (${plural(missing.lines, 'line')})`;
  return `[… ${formatCount(missing.bytes)} bytes${lines} left out; read with ${readWith} …]`;
}

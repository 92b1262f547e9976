/** Paths with one character per byte, as engines list names, which need not be UTF-8. */
import { decodeUtf8 } from '../../src/shared/text/utf8.ts';

export function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** The text of a path, given as its parts with one character per byte. */
export function pathText(parts: readonly string[]): string {
  return decodeUtf8(Buffer.from(parts.join('/'), 'latin1'));
}

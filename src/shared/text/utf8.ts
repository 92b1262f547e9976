import { isUtf8 } from 'node:buffer';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The longest UTF-8 sequence, in bytes. */
export const MAX_CHARACTER_BYTES = 4;

/**
 * The end, in bytes, of the last complete character that starts before `end`: any bytes after it belong to a
 * character that is incomplete in `bytes[0, end)`. Invalid UTF-8 is left alone.
 */
export function characterEnd(bytes: Uint8Array, end = bytes.length): number {
  for (let back = 1; back < MAX_CHARACTER_BYTES && back <= end; back++) {
    const byte = bytes[end - back];
    if (byte === undefined || byte < 0x80) return end;
    if (byte >= 0xc0) return sequenceLength(byte) > back ? end - back : end;
  }
  return end;
}

/** The first character boundary: skips at most three continuation bytes of a character that began earlier. */
export function characterStart(bytes: Uint8Array): number {
  let start = 0;
  while (start < MAX_CHARACTER_BYTES - 1 && isContinuation(bytes[start])) start++;
  return start;
}

/**
 * The start of the character that contains the byte at `at`; `at` itself if a character starts there, or none
 * does.
 */
export function characterAt(bytes: Uint8Array, at: number): number {
  const begin = characterEnd(bytes, at);
  if (begin === at) return at;
  const end = Math.min(bytes.length, begin + sequenceLength(bytes[begin] ?? 0));
  return bytes.subarray(begin + 1, end).every(isContinuation) ? begin : at;
}

/** Decodes UTF-8 and keeps a byte order mark; invalid bytes become U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Whether the bytes are text that survives a round trip: valid UTF-8 without NUL. */
export function isPlainText(bytes: Uint8Array): boolean {
  return isUtf8(bytes) && !bytes.includes(0);
}

/** Whether a string holds an unpaired surrogate, which UTF-8 cannot encode. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** The length of a sequence with this first byte; 1 for a byte that starts none. */
function sequenceLength(first: number): number {
  if (first >= 0xf0 && first <= 0xf4) return 4;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xc2 && first < 0xe0 ? 2 : 1;
}

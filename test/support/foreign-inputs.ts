/** Bytes that a sandbox, a peer or a model may send to make a parser slow. */
import { generator } from './seed.ts';

/** The pieces that inputs repeat. */
const PIECES: Readonly<Record<string, readonly string[]>> = {
  blanks: [' '],
  'tabs and a control character': ['\t\t\t\t\t\t\t\u0001'],
  'line breaks': ['\r\n'],
  'one line': ['a'],
  colons: [':'],
  'short headers': ['a: b\r\n'],
  'long headers': [`x: ${' '.repeat(4_000)}\u0001\r\n`],
  'a request line': ['GET / HTTP/1.1\r\n', 'Host: a\r\n'],
  'slashes and dots': ['/../', './'],
  'escape characters': ['\u001b'],
  'unfinished escape sequences': ['\u001b[', '\u001b]8;;', '\u001b[?1;2;3'],
  colours: ['\u001b[31mx\u001b[0m'],
  'hyperlinks without an end': ['\u001b]8;;http://a'],
  'cursor movements': ['\u001b[A\u001b[2K\r'],
  'combining characters': ['e\u0301\u0301\u0301\u0301'],
  'joined emoji': ['\u{1F468}\u200D'],
  brackets: ['[[[[{{{{'],
  'quotes and backslashes': ['\\"'],
  'words of base64': ['QUJD'],
  'base64 with blanks': ['QUJD ', '    '],
  commas: ['a,'],
  sudo: ['sudo: ', ': sudo: '],
};

/** Inputs of this size: each kind of piece, and random mixtures of them with random bytes. */
export function foreignInputs(size: number, seed: number): Map<string, Buffer> {
  const random = generator(seed);
  const made = new Map<string, Buffer>();
  for (const [name, pieces] of Object.entries(PIECES)) made.set(name, Buffer.alloc(size, pieces.join('')));
  const all = Object.values(PIECES).flat();
  const mixed: Buffer[] = [];
  for (let length = 0; length < size; ) {
    const piece = Buffer.from((all[Math.floor(random() * all.length)] ?? '').slice(0, 40));
    const next = random() < 0.2 ? Buffer.from([Math.floor(random() * 256)]) : piece;
    mixed.push(next);
    length += next.length;
  }
  made.set(`a mixture (SEED=${seed})`, Buffer.concat(mixed).subarray(0, size));
  made.set(`random bytes (SEED=${seed})`, Buffer.from(Array.from({ length: size }, () => random() * 256)));
  return made;
}

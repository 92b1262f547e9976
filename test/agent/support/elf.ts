/** Reads from an ELF file (64-bit, little-endian) how it is loaded. */

const SEGMENT = { load: 1, dynamic: 2, interpreter: 3, stack: 0x6474e551, relro: 0x6474e552 } as const;
const TAG = { needed: 1, flags: 30 } as const;
const SYMBOL_TABLE = 2;
const BIND_NOW = 8;
const EXECUTABLE = 1;
const POSITION_INDEPENDENT = 3;
const X86_64 = 62;

export interface Elf {
  /** Machine number of the ELF header: 62 x86-64, 183 AArch64. */
  readonly machine: number;
  readonly positionIndependent: boolean;
  readonly interpreter: boolean;
  /** Shared libraries that it requests. */
  readonly libraries: number;
  readonly executableStack: boolean;
  readonly readOnlyRelocations: boolean;
  readonly bindNow: boolean;
  readonly symbols: ReadonlyMap<string, ElfSymbol>;
}

export interface ElfSymbol {
  readonly address: number;
  /** Offset and length of its code in the file. */
  readonly offset: number;
  readonly size: number;
}

/** Throws on anything but a 64-bit little-endian ELF file. */
export function readElf(file: Buffer): Elf {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) throw new Error('no 64-bit ELF');
  const segments = table(file, number(file, 32), file.readUInt16LE(54), file.readUInt16LE(56)).map((at) => ({
    type: file.readUInt32LE(at),
    flags: file.readUInt32LE(at + 4),
    offset: number(file, at + 8),
    address: number(file, at + 16),
    size: number(file, at + 32),
  }));
  const segment = (type: number) => segments.find((candidate) => candidate.type === type);
  const dynamic = segment(SEGMENT.dynamic);
  const entries = dynamic === undefined ? [] : table(file, dynamic.offset, 16, dynamic.size / 16);
  const tags = entries.map((at) => ({ tag: number(file, at), value: number(file, at + 8) }));
  const stack = segment(SEGMENT.stack);
  return {
    machine: file.readUInt16LE(18),
    positionIndependent: file.readUInt16LE(16) === POSITION_INDEPENDENT,
    interpreter: segment(SEGMENT.interpreter) !== undefined,
    libraries: tags.filter(({ tag }) => tag === TAG.needed).length,
    // Without the segment the kernel makes the stack executable.
    executableStack: stack === undefined || (stack.flags & EXECUTABLE) !== 0,
    readOnlyRelocations: segment(SEGMENT.relro) !== undefined,
    bindNow: tags.some(({ tag, value }) => tag === TAG.flags && (value & BIND_NOW) !== 0),
    symbols: symbolsOf(
      file,
      segments.filter(({ type }) => type === SEGMENT.load),
    ),
  };
}

/** Whether the code of one function calls another: `call rel32` on x86-64, `bl` on AArch64. */
export function calls(file: Buffer, { machine, symbols }: Elf, from: string, to: string): boolean {
  const [caller, callee] = [symbols.get(from), symbols.get(to)];
  if (caller === undefined || callee === undefined) return false;
  const [length, step] = machine === X86_64 ? [5, 1] : [4, 4];
  for (let at = 0; at + length <= caller.size; at += step) {
    const code = caller.offset + at;
    const target = caller.address + at + callDistance(file, code, machine);
    if (target === callee.address) return true;
  }
  return false;
}

/** The distance from a call instruction to its target; NaN for other instructions. */
function callDistance(file: Buffer, at: number, machine: number): number {
  if (machine === X86_64) return file[at] === 0xe8 ? file.readInt32LE(at + 1) + 5 : Number.NaN;
  const instruction = file.readUInt32LE(at);
  return instruction >>> 26 === 0b100101 ? ((instruction << 6) >> 6) * 4 : Number.NaN;
}

interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

function symbolsOf(file: Buffer, loaded: readonly Segment[]): Map<string, ElfSymbol> {
  const sections = table(file, number(file, 40), file.readUInt16LE(58), file.readUInt16LE(60));
  const found = sections
    .filter((at) => file.readUInt32LE(at + 4) === SYMBOL_TABLE)
    .flatMap((at) => {
      const strings = number(file, (sections[file.readUInt32LE(at + 40)] ?? 0) + 24);
      return table(file, number(file, at + 24), 24, number(file, at + 32) / 24).map((symbol) => {
        const start = strings + file.readUInt32LE(symbol);
        const name = file.toString('latin1', start, file.indexOf(0, start));
        const address = number(file, symbol + 8);
        const size = number(file, symbol + 16);
        const within = loaded.find((one) => address >= one.address && address < one.address + one.size);
        const offset = within === undefined ? 0 : address - within.address + within.offset;
        return [name, { address, offset, size }] as const;
      });
    });
  return new Map(found);
}

/** Offsets of the entries of a table. */
function table(file: Buffer, offset: number, size: number, count: number): number[] {
  const offsets = Array.from({ length: count }, (_, index) => offset + index * size);
  if (offsets.some((at) => at + size > file.length)) throw new Error('an ELF table is truncated');
  return offsets;
}

function number(file: Buffer, at: number): number {
  return Number(file.readBigUInt64LE(at));
}

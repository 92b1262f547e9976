/** Detects a root file system's architecture from its executables (elf(5)). */

/** `e_machine`, by what Node calls the architecture. */
const MACHINES: Record<number, string> = {
  3: 'ia32',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  21: 'ppc64',
  22: 's390x',
};
/** As image configurations name it. */
const CONFIGURED: Record<string, string> = { amd64: 'x64', '386': 'ia32', ppc64le: 'ppc64' };
const HEADER_BYTES = 20;

/** Null for what is no program. */
export function machineOf(head: Uint8Array): string | null {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, HEADER_BYTES));
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 4) !== '\x7fELF') return null;
  const bigEndian = bytes[5] === 2;
  const machine = bigEndian ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18);
  return MACHINES[machine] ?? `machine ${machine}`;
}

/** Node's name for an architecture as an image's configuration has it. */
export function configuredArchitecture(name: string): string {
  return CONFIGURED[name] ?? name;
}

/** Detects a root file system's architecture from its executables (elf(5)). */

/** `e_machine` by Node's name of the architecture. */
const MACHINES: Record<number, string> = {
  3: 'ia32',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  21: 'ppc64',
  22: 's390x',
};
/** The architecture's name in image configurations. */
const CONFIGURED: Record<string, string> = { amd64: 'x64', '386': 'ia32', ppc64le: 'ppc64' };
const HEADER_BYTES = 20;

/** Null for a file that is not an executable. */
export function machineOf(head: Uint8Array): string | null {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, HEADER_BYTES));
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 4) !== '\x7fELF') return null;
  const bigEndian = bytes[5] === 2;
  const machine = bigEndian ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18);
  return MACHINES[machine] ?? `machine ${machine}`;
}

/** Converts an architecture name from an image's configuration to Node's. */
export function configuredArchitecture(name: string): string {
  return CONFIGURED[name] ?? name;
}

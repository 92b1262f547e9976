/** Lowers the memory limit of a local sandbox. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sandboxCgroups } from '../leftovers.ts';

/** The limits of memory, and of memory with swap, on cgroups v1; the limit of memory on v2. */
const FILES = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.max'];
const BYTES = 128 << 20;

/**
 * To 128 MiB, below what a sandbox can be created with: some machines take ten seconds for each new gigabyte.
 * Does nothing for a sandbox of another machine.
 */
export function lowerMemoryLimit(sandboxId: string): void {
  const cgroups = sandboxCgroups().filter((path) => path.includes(sandboxId));
  const paths = cgroups.flatMap((path) => FILES.map((file) => join(path, file)));
  for (const path of paths) if (existsSync(path)) writeFileSync(path, String(BYTES));
}

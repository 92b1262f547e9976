/** Makes the kernel kill a process for lack of memory, by a memory cgroup of its own. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';
const V1 = join(ROOT, 'memory');
/** Less than a large request takes. What the process had before is not charged to the new cgroup. */
const LIMIT_BYTES = 16 * 1_048_576;

export interface MemoryLimit {
  /** Once the process has exited. */
  remove(): void;
}

/** Limits what the process may allocate from now on. Null on machines without the controller. */
export function limitMemory(pid: number): MemoryLimit | null {
  const isV1 = existsSync(V1);
  const group = join(isV1 ? V1 : ROOT, `out-of-memory-${pid}`);
  mkdirSync(group);
  const file = join(group, isV1 ? 'memory.limit_in_bytes' : 'memory.max');
  const remove = () => rmdirSync(group);
  if (!existsSync(file)) {
    remove();
    return null;
  }
  writeFileSync(file, String(LIMIT_BYTES));
  writeFileSync(join(group, 'cgroup.procs'), String(pid));
  return { remove };
}

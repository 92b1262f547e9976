/** The space that deleted files take while a program or its descendants hold them open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countDeletedFiles } from '../../../../src/engines/oci/storage/deleted-files.ts';
import { needs } from '../../../support/needs.ts';

const MIB = 1_048_576;
const TMPFS = 0x01021994;
const never = new AbortController().signal;
const isLinux = process.platform === 'linux' && existsSync('/proc/self/task');

/** Runs a script that prints a line and waits, in a child of a child; returns what is counted meanwhile. */
async function counted(folder: string, script: string): Promise<{ bytes: number; files: number }> {
  const child = spawn('sh', ['-c', 'sh -c "$1"; :', 'sh', `${script}; echo ready; read line`], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    return await countDeletedFiles(child.pid ?? 0, never);
  } finally {
    child.stdin.end();
    await once(child, 'close');
  }
}

describe('deleted files', needs('Linux', isLinux), () => {
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deleted-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('count while a descendant has them open, each once', async (context) => {
    if ((await statfs(folder)).type === TMPFS) return context.skip('needs a temporary folder on a disk');
    const open = 'exec 3> f; rm f; head -c 2097152 /dev/zero >&3; exec 4>&3';
    const { bytes, files } = await counted(folder, open);
    expect(files).toBe(1);
    expect(bytes).toBeGreaterThanOrEqual(2 * MIB);
    expect(bytes).toBeLessThan(3 * MIB);
  });

  it('do not count while they have a name, and not by their apparent size', async () => {
    const named = 'exec 3> named; head -c 1048576 /dev/zero >&3';
    expect(await counted(folder, named)).toEqual({ bytes: 0, files: 0 });
    const sparse = 'exec 3> sparse; truncate -s 1G sparse; rm sparse';
    expect((await counted(folder, sparse)).bytes).toBeLessThan(MIB);
  });

  it('are not counted after an abort', async () => {
    await expect(countDeletedFiles(process.pid, AbortSignal.abort(new Error('enough')))).rejects.toThrow(
      'enough',
    );
  });
});

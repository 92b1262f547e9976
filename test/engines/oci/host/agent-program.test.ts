import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installAgent, verifyAgent } from '../../../../src/engines/oci/host/agent-program.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';

let folder = '';
let source = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-'));
  source = join(folder, 'agent');
  await writeFile(source, 'the agent');
  await mkdir(join(folder, 'bin'));
});

afterEach(() => rm(folder, { recursive: true }));

const install = () => installAgent(new StateLayout(folder), source);

describe("the agent's executable", () => {
  it('replaces a file of the same name and size that is not the agent', async () => {
    const path = await install();
    await rm(path);
    await writeFile(path, 'the agens');
    expect(await install()).toBe(path);
    expect(await readFile(path, 'utf8')).toBe('the agent');
    await verifyAgent(path);
  });

  it('is refused before use if it has changed, even with its old modification time', async () => {
    const path = await install();
    await verifyAgent(path);
    await chmod(path, 0o755);
    const then = new Date(1_000_000_000_000);
    await utimes(path, then, then);
    await verifyAgent(path);
    await writeFile(path, 'the agens');
    await utimes(path, then, then);
    await expect(verifyAgent(path)).rejects.toMatchObject({ code: 'unavailable' });
    await rm(path);
    await expect(verifyAgent(path)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { whenSpawned } from '../../../src/shared/async/when-spawned.ts';

describe('a child that is awaited until it runs', () => {
  it('has its streams, and may still fail later without ending this process', async () => {
    const child = await whenSpawned(
      spawn(process.execPath, ['-e', ''], { stdio: ['ignore', 'pipe', 'ignore'] }),
    );
    child.emit('error', new Error('a signal could not be sent'));
    const closed = once(child, 'close');
    expect(child.stdout.resume()).toBe(child.stdout);
    expect(await closed).toEqual([0, null]);
  });

  it('rejects with the error of the system if it cannot be started', async () => {
    await expect(whenSpawned(spawn('/does/not/exist'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

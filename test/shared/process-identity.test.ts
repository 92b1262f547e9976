import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { currentProcess, identify, isProcessAlive } from '../../src/shared/process-identity.ts';
import { needs } from '../support/needs.ts';

describe('process identity', () => {
  it('recognizes this process', () => {
    expect(currentProcess().pid).toBe(process.pid);
    expect(currentProcess()).toEqual(identify(process.pid));
    expect(isProcessAlive(currentProcess())).toBe(true);
  });

  it('reports a killed process as dead', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const identity = identify(child.pid ?? 0);
    if (identity === null) throw new Error('The child has no identity.');
    expect(isProcessAlive(identity)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isProcessAlive(identity)).toBe(false);
  });

  it('reports a zombie as dead', needs('Linux', process.platform === 'linux'), async () => {
    // The shell becomes a program that never reaps the child it inherits.
    const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    onTestFinished(() => {
      parent.kill('SIGKILL');
    });
    for await (const line of createInterface(parent.stdout)) {
      const pid = Number(line);
      await expect.poll(() => identify(pid)).toBeNull();
      break;
    }
  });

  it('detects a recycled pid and another boot', needs('Linux', process.platform === 'linux'), () => {
    const identity = currentProcess();
    expect(isProcessAlive({ ...identity, startTime: `${identity.startTime}0` })).toBe(false);
    expect(isProcessAlive({ ...identity, bootId: 'another' })).toBe(false);
  });

  it(
    'handles spaces and parentheses in a program name',
    needs('Linux', process.platform === 'linux'),
    async () => {
      const script = `process.title = 'a) R 1 (b'; console.log(process.pid); setInterval(() => {}, 1000)`;
      const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
      onTestFinished(() => {
        child.kill('SIGKILL');
      });
      for await (const line of createInterface(child.stdout)) {
        expect(identify(Number(line))?.startTime).toMatch(/^[1-9][0-9]*$/);
        break;
      }
    },
  );

  it.each([0, -1, 1.5, Number.NaN, 2 ** 40])('finds no process %s', (pid) => {
    expect(identify(pid)).toBeNull();
  });
});

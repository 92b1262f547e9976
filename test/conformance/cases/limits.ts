import { expect } from 'vitest';
import { lowerMemoryLimit } from '../../support/host/memory-limit.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { outputOf, run, start, untilOutput } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** Allocates and writes memory until it is killed. */
const MEMORY_HOG = `const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1));`;
/**
 * Five generations, each in a new session and forked twice, so that its parent has exited; all record their
 * pid.
 */
const DEEP_TREE = `grow() {
  echo $BASHPID
  [ "$1" = 0 ] && exec sleep 300
  setsid bash -c "$(declare -f grow); (grow $(($1 - 1)) &) ; exec sleep 300" &
  exec sleep 300
}
grow 4`;

/** Limits that protect the host, other sandboxes and the sandbox itself. */
export function limitCases(get: () => Subject, extent: Extent): void {
  describeCases('limits', extent, (it) => {
    const enforces = async (what: string) => {
      const { notEnforced } = await get().engine.limits(timeoutSignal());
      return !notEnforced.some((sentence) => sentence.toLowerCase().includes(what));
    };

    it('kills a command that exceeds the memory limit, reports it, and keeps running', async (context) => {
      if (!(await enforces('memory')))
        return context.skip('needs a memory cgroup, which this host does not delegate');
      const sandbox = await get().create();
      lowerMemoryLimit(sandbox.sandboxId);
      const hog = await run(get(), 'node', ['-e', MEMORY_HOG], sandbox);
      expect(hog).toMatchObject({ signal: 'SIGKILL', exitCode: 137, endedBy: 'out_of_memory' });
      const inShell = await run(get(), 'sh', ['-c', 'node -e "$0"; exit $?', MEMORY_HOG], sandbox);
      expect(inShell).toMatchObject({ exitCode: 137, endedBy: 'out_of_memory' });
      expect(await run(get(), 'echo', ['alive'], sandbox)).toMatchObject({ stdout: 'alive\n' });
    });

    it('has shared memory of half its memory, and /tmp on disk', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform sets its own mounts');
      const script = 'df -B 1M --output=size /dev/shm | tail -1; df --output=fstype /tmp | tail -1';
      const { stdout } = await run(get(), 'sh', ['-c', script]);
      const [size, type] = stdout.trim().split(/\s+/);
      expect(Number(size)).toBe(1024);
      expect(type).not.toBe('tmpfs');
    });

    it('shows programs their own limits, read-only', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform decides');
      // OpenMP's variable would hide what nproc itself finds.
      const count = 'env -u OMP_NUM_THREADS nproc; nproc; node -p "os.availableParallelism()"';
      for (const sudo of [false, true])
        expect(await run(get(), 'sh', ['-c', count], { sudo })).toMatchObject({
          stdout: '1\n1\n1\n',
        });
      if (!(await enforces('memory')))
        return context.skip('needs a memory cgroup, which this host does not delegate');
      const limit = await run(get(), 'node', ['-p', 'process.constrainedMemory()']);
      expect(Number(limit.stdout)).toBe(2048 * 1024 * 1024);
      const files = '/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max';
      const raise = `for file in ${files}; do [ ! -e $file ] || echo 1 >> $file; done; mkdir /sys/fs/cgroup/memory/own`;
      expect((await run(get(), 'sh', ['-c', raise], { sudo: true })).exitCode).not.toBe(0);
      const still = await run(get(), 'node', ['-p', 'process.constrainedMemory()']);
      expect(still.stdout).toBe(limit.stdout);
    });

    it('lets a program trace its own child', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform decides');
      // PTRACE_TRACEME, through the C library that Python has loaded.
      const script = 'import ctypes; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))';
      const traced = await run(get(), 'python3', ['-c', script]);
      if (traced.exitCode === 127) return context.skip('needs python3 on this machine');
      expect(traced.stdout).toBe('0\n');
    });

    it('survives a fork bomb, which a kill reliably ends', async (context) => {
      if (!(await enforces('fork bomb')))
        return context.skip('this engine cannot kill processes from outside the sandbox');
      const sandbox = await get().create();
      const bomb = await start(get(), 'bash', ['-c', 'echo lit; b() { b | b & }; b; sleep 300'], sandbox);
      await untilOutput(get(), bomb.commandId, 'lit');
      const { engine, shared } = get();
      expect(await run(get(), 'echo', ['neighbour'], shared)).toMatchObject({ exitCode: 0 });
      await engine.commands.kill(bomb.commandId, 'SIGKILL', 'killed', timeoutSignal());
      const processes = await run(get(), 'sh', ['-c', 'ls -d /proc/[0-9]* | wc -l'], sandbox);
      // The agent, this command's supervisor, the shell and what it starts.
      expect(Number(processes.stdout)).toBeLessThan(10);
    });

    it('kills trees five deep, each time', async () => {
      const { engine, create } = get();
      // The tests of the tools for commands kill more of them, also by cancelling calls.
      const trees = extent !== 'whole' || engine.name === 'vercel' ? 10 : 20;
      const sandbox = await create();
      for (let count = 0; count < trees; count += 10) {
        const roots = await Promise.all(
          Array.from({ length: 10 }, () => start(get(), 'bash', ['-c', DEEP_TREE], sandbox)),
        );
        for (const { commandId } of roots) {
          await expect.poll(async () => (await outputOf(get(), commandId)).split('\n').length).toBe(6);
        }
        await Promise.all(
          roots.map(({ commandId }) => engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal())),
        );
        // A zombie has ended; its new parent reaps it later.
        const living = await run(get(), 'pgrep', ['-c', '-r', 'R,S,D,T', 'sleep'], sandbox);
        expect(living.stdout).toBe('0\n');
      }
    });
  });
}

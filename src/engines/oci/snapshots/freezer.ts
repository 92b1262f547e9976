/** Stops all processes of a sandbox for a moment, with the freezer of its cgroup. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import type { Freezer } from '../host/cgroups.ts';
import { findProgram, HOST_PATH } from '../host/host-program.ts';

/**
 * `$1` to `$5` are the fields of a `Freezer`. The end of standard input thaws: also when the server is killed,
 * so that no sandbox stays frozen. Prints a line once everything is frozen; gives up after half a minute. The
 * freezer of v1 can wait for ever for processes that start others meanwhile, so it begins again each second.
 */
const GUARD = `thaw() { echo "$3" > "$1"; }
echo "$2" > "$1" || exit 1
count=0
until grep -q "^$5\\$" "$4"; do
  count=$((count + 1))
  if [ "$count" -gt 600 ]; then thaw "$@"; exit 1; fi
  sleep 0.05
  if [ $((count % 20)) = 0 ]; then thaw "$@"; echo "$2" > "$1"; fi
done
echo frozen
cat > /dev/null
thaw "$@"`;

/** Runs `work` while the processes are frozen; they run again when it has settled. */
export async function whileFrozen<Result>(freezer: Freezer, work: () => Promise<Result>): Promise<Result> {
  const { file, on, off, state, frozen } = freezer;
  const shell = findProgram('sh') ?? 'sh';
  const guard = await whenSpawned(
    spawn(shell, ['-c', GUARD, 'freezer', file, on, off, state, frozen], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // A terminal's Ctrl-C must not end it before it has thawed.
      detached: true,
      env: { PATH: HOST_PATH },
    }),
  );
  const ended = once(guard, 'close');
  guard.stdin.on('error', () => {});
  try {
    const [line] = await Promise.race([once(guard.stdout, 'data'), ended.then(() => [null])]);
    if (line === null) throw new Error(`cannot freeze with ${file}`);
    return await work();
  } finally {
    guard.stdin.end();
    await ended;
  }
}

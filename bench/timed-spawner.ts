/**
 * Starts programs and times them, in a process of its own that may live in another mount namespace: where the
 * runtime must not see the unified cgroup hierarchy, it is hidden once and not for each run, so that no run
 * pays for it.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';

/**
 * What to do with a program's output: count it here, let `cat` read it, or discard it, as a detached program
 * requires.
 */
type Output = 'counted' | 'cat' | 'none';

const LIMIT_MS = 30_000;

/**
 * Answers each line of JSON, an argument list and the handling of its output, with times and the exit code.
 */
const HELPER = `
const { spawn } = require('node:child_process');
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { argv, output } = JSON.parse(line);
  const started = performance.now();
  let first = null, bytes = 0, errors = '', left = output === 'cat' ? 2 : 1, exitCode = null;
  const done = () => {
    if (--left === 0) console.log(JSON.stringify({ ms: performance.now() - started, first, bytes, exitCode, errors }));
  };
  const pipe = output === 'none' ? 'ignore' : 'pipe';
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', pipe, pipe], timeout: ${LIMIT_MS} });
  child.stderr?.on('data', (data) => { errors += data; });
  child.on('error', (error) => { errors += error; });
  child.on('close', (code) => { exitCode = code; done(); });
  if (output === 'counted')
    child.stdout.on('data', (data) => { first ??= performance.now() - started; bytes += data.length; });
  if (output === 'cat') {
    const reader = spawn('cat', [], { stdio: [child.stdout, 'ignore', 'ignore'] });
    child.stdout.destroy();
    reader.on('close', done);
  }
});`;

const answer = z.object({
  ms: z.number(),
  first: z.number().nullable(),
  bytes: z.number(),
  exitCode: z.number().nullable(),
  errors: z.string(),
});
/** Milliseconds to the end and, if the output is counted, to its first byte; and the number of bytes. */
export type Timed = z.output<typeof answer>;

const HIDE = 'mount --make-rprivate / && umount -l /sys/fs/cgroup/unified && exec "$0" "$@"';

export class TimedSpawner {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(hideUnified: boolean) {
    const node = [process.execPath, '-e', HELPER];
    const [program = '', ...args] = hideUnified ? ['unshare', '--mount', 'sh', '-c', HIDE, ...node] : node;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Runs a program to its end, within 30 s. @throws with the program's own output if it fails */
  async run(argv: readonly string[], output: Output = 'counted'): Promise<Timed> {
    this.#child.stdin.write(`${JSON.stringify({ argv, output })}\n`);
    const line = await this.#lines.next();
    if (line.done) throw new Error('the timing helper has exited');
    const timed = answer.parse(JSON.parse(line.value));
    if (timed.exitCode !== 0)
      throw new Error(`${argv.join(' ')} ended with ${timed.exitCode}: ${timed.errors}`);
    return timed;
  }

  close(): void {
    this.#child.stdin.end();
  }
}

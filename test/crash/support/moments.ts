/** Moments at which a server is killed: some sought on purpose, the others at random. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { generator } from '../../support/seed.ts';
import { STEPS, type Step } from './busy-session.ts';
import { textOf } from './leftovers.ts';

export interface Moment {
  readonly name: string;
  /** The step of the session after which it is. */
  readonly step: Step;
  /** How long after the step, milliseconds; or what has to be so in the state directory. */
  readonly when: number | ((stateDir: string) => boolean);
  /** In the middle of a sandbox's start, where processes are that no record names. */
  readonly inStart?: boolean;
}

const LATEST_MS = 80;

/** Moments that are too short to be met by chance, in the middle of something that must be whole or not at all. */
export const SOUGHT: readonly Moment[] = [
  {
    name: 'a sandbox directory is being claimed',
    step: 'creating',
    when: (stateDir) => namesIn(join(stateDir, 'sandboxes')).some((name) => name.startsWith('.new.')),
  },
  {
    name: 'the first start tries the runtime',
    step: 'creating',
    inStart: true,
    when: (stateDir) => records(stateDir).some((text) => text.includes('"runtime": "probe"')),
  },
  {
    name: 'a create has claimed its directory and not started its container',
    step: 'creating again',
    inStart: true,
    when: (stateDir) =>
      sandboxes(stateDir).some((dir) => isPending(dir) && !existsSync(join(dir, 'bundle/pid'))),
  },
  {
    name: 'a create has started its container and not recorded it',
    step: 'creating again',
    inStart: true,
    when: (stateDir) =>
      sandboxes(stateDir).some((dir) => isPending(dir) && existsSync(join(dir, 'bundle/pid'))),
  },
  {
    name: 'an upload is staged',
    step: 'uploading',
    when: (stateDir) =>
      sandboxes(stateDir).some((dir) =>
        namesIn(join(dir, 'layers/upper/vercel/sandbox')).some((name) => name.startsWith('.sandbox-')),
      ),
  },
  {
    name: 'a sandbox is stopping',
    step: 'stopping',
    when: (stateDir) => records(stateDir).some((text) => text.includes('"status": "stopping"')),
  },
  {
    name: "a sandbox's record is being written",
    step: 'extending',
    when: (stateDir) => sandboxes(stateDir).some((dir) => namesIn(dir).some((name) => name.endsWith('.tmp'))),
  },
  {
    name: 'an ownership record is being written',
    step: 'creating',
    when: (stateDir) => namesIn(join(stateDir, 'records')).some((name) => name.endsWith('.tmp')),
  },
];

/** `count` moments anywhere in the session; the same ones for the same seed. */
export function randomMoments(seed: number, count: number): Moment[] {
  const random = generator(seed);
  return Array.from({ length: count }, () => {
    const step = STEPS[Math.floor(random() * STEPS.length)] ?? 'creating';
    const delayMs = Math.floor(random() * LATEST_MS);
    return { name: `${delayMs} ms after: ${step}`, step, when: delayMs };
  });
}

/**
 * Lets a process go on in small steps until something is so, and leaves it stopped there: however busy the machine is,
 * a moment that is longer than a step is hardly missed. False where it did not come within 8 s.
 */
export function stopWhen(pid: number, isSo: () => boolean): boolean {
  const deadline = performance.now() + 8_000;
  while (performance.now() < deadline) {
    process.kill(pid, 'SIGSTOP');
    spinUntil(() => / [TXZ] /.test(textOf(`/proc/${pid}/stat`)));
    if (isSo()) return true;
    process.kill(pid, 'SIGCONT');
    const next = performance.now() + 0.1;
    spinUntil(() => performance.now() > next);
  }
  return false;
}

function spinUntil(isSo: () => boolean): void {
  while (!isSo());
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function sandboxes(stateDir: string): string[] {
  const folder = join(stateDir, 'sandboxes');
  return namesIn(folder)
    .filter((name) => !name.startsWith('.'))
    .map((name) => join(folder, name));
}

function records(stateDir: string): string[] {
  return sandboxes(stateDir).map((dir) => textOf(join(dir, 'record.json')));
}

function isPending(dir: string): boolean {
  return textOf(join(dir, 'record.json')).includes('"status": "pending"');
}

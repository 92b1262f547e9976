/** Moments at which a server is killed: some chosen, the others random. */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { generator } from '../../support/seed.ts';
import { STEPS, type Step, stockIn } from './busy-session.ts';
import { namesIn, recordsIn, sandboxesIn, textOf } from './leftovers.ts';
import type { Place } from './place.ts';

export interface Moment {
  readonly name: string;
  /** The step of the session after which it is. */
  readonly step: Step;
  /**
   * Milliseconds after the step; or where the server stops itself, and what is then true in the state
   * directory.
   */
  readonly when: number | { readonly place: string; isSo(stateDir: string): boolean };
  /** Whether the server has to try the runtime, although another one on this machine has done so. */
  readonly probes?: boolean;
  /** During the start of a sandbox, when there are processes that no record names. */
  readonly inStart?: boolean;
  /** Whether the session waits until a sandbox was booted ahead. */
  readonly awaitsStock?: boolean;
}

const LATEST_MS = 80;

/** Moments too short to be hit by chance, in the middle of an atomic operation. */
export const SOUGHT: readonly Moment[] = [
  {
    name: 'a sandbox directory is being claimed',
    step: 'creating',
    when: {
      place: 'directory claimed',
      isSo: (stateDir) => namesIn(join(stateDir, 'sandboxes')).some((name) => name.startsWith('.new.')),
    },
  },
  {
    name: 'the first start tries the runtime',
    step: 'creating',
    inStart: true,
    probes: true,
    when: {
      place: 'runtime started',
      isSo: (stateDir) => recordsIn(stateDir).some((text) => text.includes('"runtime": ".probe"')),
    },
  },
  {
    name: 'a create has claimed its directory and not started its container',
    step: 'creating again',
    inStart: true,
    when: {
      place: 'container to be started',
      isSo: (stateDir) =>
        sandboxesIn(stateDir).some((dir) => isPending(dir) && !existsSync(join(dir, 'bundle/pid'))),
    },
  },
  {
    name: 'a create has started its container and not recorded it',
    step: 'creating again',
    inStart: true,
    when: {
      place: 'container started',
      isSo: (stateDir) =>
        sandboxesIn(stateDir).some((dir) => isPending(dir) && existsSync(join(dir, 'bundle/pid'))),
    },
  },
  {
    name: 'a sandbox is being booted ahead',
    step: 'idle',
    inStart: true,
    awaitsStock: true,
    when: {
      place: 'container started',
      isSo: (stateDir) => stockIn(stateDir).some((record) => record.includes('"init": null')),
    },
  },
  {
    name: 'a sandbox that was booted ahead is being taken',
    step: 'creating again',
    awaitsStock: true,
    when: {
      place: 'sandbox of the stock to be taken',
      isSo: (stateDir) => {
        const stocked = stockIn(stateDir).flatMap((record) => /"sandboxId": "(.+?)"/.exec(record)?.[1] ?? []);
        const owned = stocked.map((id) => textOf(join(stateDir, 'records', `${id}.json`)));
        return owned.some((record) => record.includes('"state": "creating"'));
      },
    },
  },
  {
    name: 'an upload is staged',
    step: 'uploading',
    when: {
      place: 'upload under way',
      isSo: (stateDir) =>
        sandboxesIn(stateDir).some((dir) =>
          namesIn(join(dir, 'layers/upper/vercel/sandbox')).some((name) => name.startsWith('.sandbox-')),
        ),
    },
  },
  {
    name: 'a sandbox is stopping',
    step: 'stopping',
    when: {
      place: 'record says stopping',
      isSo: (stateDir) => recordsIn(stateDir).some((text) => text.includes('"status": "stopping"')),
    },
  },
  {
    name: "a sandbox's record is being written",
    step: 'extending',
    when: {
      place: 'sandbox record written',
      isSo: (stateDir) =>
        sandboxesIn(stateDir).some((dir) => namesIn(dir).some((name) => name.endsWith('.tmp'))),
    },
  },
  {
    name: 'an ownership record is being written',
    step: 'creating',
    when: {
      place: 'ownership record written',
      isSo: (stateDir) => namesIn(join(stateDir, 'records')).some((name) => name.endsWith('.tmp')),
    },
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

/** Makes a server that was started with `stops` stop at a point named in `stop-at.mjs`. */
export function stopAt(place: Place, name: string): void {
  const path = join(place.home, 'stop-at');
  // Written atomically.
  writeFileSync(`${path}.new`, name);
  renameSync(`${path}.new`, path);
}

/** Resolves once the process is stopped. @throws if it has ended instead */
export async function untilStopped(pid: number): Promise<void> {
  for (;;) {
    const state = / ([A-Z]) /.exec(textOf(`/proc/${pid}/stat`))?.[1] ?? 'X';
    if (state === 'T') return;
    if (state === 'X' || state === 'Z') throw new Error('the server ended before its moment');
    await delay(5);
  }
}

function isPending(dir: string): boolean {
  return textOf(join(dir, 'record.json')).includes('"status": "pending"');
}

/** Finds leftovers of a place's sandboxes, among everything that a sandbox consists of. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leftovers, sandboxCgroups } from '../../support/leftovers.ts';
import { TIMEOUT_FACTOR } from '../../support/timeout-factor.ts';
import type { Place } from './place.ts';

const ID = 'sbx_[2-9a-z]{12}';
/** The host's part, ownership, and of each sandbox its record, those of its commands and their logs. */
const STAYS = new RegExp(
  `^(${[
    'format|uid-range\\.json|runtime\\.json|trash|bin|etc|images|records(/downloads|/snapshots)?|sandboxes|snapshots',
    'bin/agent-[0-9a-f]{32}',
    'etc/[0-9a-f]{12}(\\.dpkg)?(/.*)?',
    `records/${ID}\\.json`,
    `sandboxes/${ID}(/record\\.json|/network(\\.old)?\\.jsonl|/commands(/[^/]+\\.json)?)?`,
    `sandboxes/${ID}/agent(/ended|/c(/[^/]+(/exit|/[0-9]{8}\\.log)?)?)?`,
  ].join('|')})$`,
);
const ENDED = ['stopped', 'aborted', 'failed', 'ended'];
const TIMEOUT_MS = 300_000 * TIMEOUT_FACTOR;
/** Each check reads files of every process; frequent checks would slow down what they wait for. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 320;

/** One sentence about each leftover; processes of `alive` are allowed. */
export function leftoversOf(place: Place, alive: readonly number[] = []): string[] {
  const inState = filesBelow(place.stateDir);
  const ids = new Set(inState.flatMap((path) => path.match(new RegExp(ID)) ?? []));
  const around = leftovers(place.home, new Set(sandboxCgroups())).filter(
    (line) => !line.startsWith('temporary file ') && !alive.some((pid) => line.startsWith(`process ${pid}:`)),
  );
  const cgroups = sandboxCgroups().filter((path) => [...ids].some((id) => basename(path).includes(id)));
  return [
    ...around,
    ...cgroups.map((path) => `cgroup ${path}`),
    ...inState.filter((path) => !STAYS.test(path)).map((path) => `in the state directory: ${path}`),
    ...inState.flatMap((path) => notEnded(place.stateDir, path)),
  ];
}

/**
 * Waits until nothing is left, at most 5 minutes: ending processes take a moment. @throws naming what
 * is left
 */
export function waitForNoLeftovers(place: Place, alive: readonly number[] = []): Promise<void> {
  return waitForNone(() => leftoversOf(place, alive));
}

/** The same for processes only: they end without another start. */
export function waitForNoProcesses(place: Place): Promise<void> {
  return waitForNone(() => leftoversOf(place).filter((line) => line.startsWith('process ')));
}

async function waitForNone(list: () => string[]): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const left = list();
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error(`left behind:\n${left.join('\n')}`);
    await delay(pauseMs);
  }
}

function notEnded(stateDir: string, path: string): string[] {
  const key = /^records\/[^/]+\.json$/.test(path) ? 'state' : /\/record\.json$/.test(path) ? 'status' : null;
  if (key === null) return [];
  const value = new RegExp(`"${key}": "([a-z]+)"`).exec(textOf(join(stateDir, path)))?.[1] ?? 'nothing';
  return ENDED.includes(value) ? [] : [`${path} says ${value}`];
}

/** Paths relative to the folder; entries that disappear meanwhile are omitted. */
function filesBelow(folder: string, prefix = ''): string[] {
  return entriesOf(join(folder, prefix)).flatMap((entry) => {
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory() ? [path, ...filesBelow(folder, path)] : [path];
  });
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** Empty if there is no such folder. */
export function namesIn(path: string): string[] {
  return entriesOf(path).map(({ name }) => name);
}

/** The directories of the sandboxes. */
export function sandboxesIn(stateDir: string): string[] {
  const folder = join(stateDir, 'sandboxes');
  return namesIn(folder)
    .filter((name) => !name.startsWith('.'))
    .map((name) => join(folder, name));
}

/** The texts of the sandboxes' records. */
export function recordsIn(stateDir: string): string[] {
  return sandboxesIn(stateDir).map((dir) => textOf(join(dir, 'record.json')));
}

/** Empty if it cannot be read. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Torture: sessions make random calls while one fault after the other happens, and after each round the
 * promises are checked: nothing is left behind, nothing ran twice, no acknowledged file or log is lost, every
 * request was answered once.
 */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { leftoversOf } from '../crash/support/leftovers.ts';
import { clean } from '../crash/support/server-process.ts';
import { generator } from '../support/generator.ts';
import { SERVER } from '../support/server.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureSlowness } from '../support/timer-lag.ts';
import { CALLS } from './calls.ts';
import { type Environment, makeEnvironment } from './environment.ts';
import { FAULTS, type Fault } from './faults.ts';
import { Player } from './player.ts';
import { Report } from './report.ts';
import { TortureServer } from './torture-server.ts';

export interface TortureOptions {
  readonly seed: number;
  readonly sessions: number;
  /** Faults of one round. */
  readonly faultsPerRound: number;
  /** Names of the faults to draw from; all of them by default. */
  readonly faults?: readonly string[];
  /** Whether another round begins. */
  another(report: Report): boolean;
  /** Receives a line about each fault, violation and round. */
  notify?(line: string): void;
}

/** Calls of each session that must succeed before a fault, and in a whole round, however long they take. */
const CALLS_BEFORE_FAULT = 2;
const CALLS_PER_ROUND = 20;
/** A sandbox has this long to disappear with its session on an idle machine. */
const LEFTOVERS_WITHIN_MS = 60_000 * TIMEOUT_FACTOR;

const snapshots = z.object({ snapshots: z.array(z.object({ snapshot_id: z.string() })) });
const listed = z.object({ sandboxes: z.array(z.object({ sandbox_id: z.string(), status: z.string() })) });

/** The same seed makes the same choices; how they meet is up to the machine. */
export async function torture(options: TortureOptions): Promise<Report> {
  const report = new Report(options.notify);
  const environment = makeEnvironment();
  try {
    const random = generator(options.seed);
    const deck = new Deck(environment, random, report, options.faults);
    const damaged = new Set<string>();
    while (options.another(report)) {
      const faults = Array.from({ length: options.faultsPerRound }, () => deck.draw());
      await playRound(environment, faults, options.sessions, random, report, damaged);
      report.rounds += 1;
      options.notify?.(`round ${report.rounds} ended`);
    }
  } finally {
    await clean(environment.place);
    await environment.place.remove();
  }
  return report;
}

/** Faults in random order, each once before any comes again. */
class Deck {
  readonly #possible: Fault[];
  readonly #random: () => number;
  #left: Fault[] = [];

  constructor(environment: Environment, random: () => number, report: Report, names?: readonly string[]) {
    const faults = FAULTS.filter(({ name }) => names?.includes(name) ?? true);
    this.#random = random;
    this.#possible = faults.filter((fault) => fault.lacks(environment) === null);
    for (const fault of faults) {
      const lack = fault.lacks(environment);
      if (lack !== null) report.skipped.set(fault.name, lack);
    }
  }

  draw(): Fault {
    if (this.#left.length === 0) this.#left = [...this.#possible];
    const [fault] = this.#left.splice(Math.floor(this.#random() * this.#left.length), 1);
    if (fault === undefined) throw new Error('there are no faults');
    return fault;
  }
}

async function playRound(
  environment: Environment,
  faults: readonly Fault[],
  sessions: number,
  random: () => number,
  report: Report,
  damaged: Set<string>,
): Promise<void> {
  const players: Player[] = [];
  const succeededBefore = report.succeeded;
  for (let index = 0; index < sessions; index++) {
    const choices = generator(Math.floor(random() * 2 ** 31));
    players.push(await Player.start(`${report.rounds}.${index}`, environment, report, choices, players));
  }
  const done = new AbortController();
  const playing = players.map((player) => player.play((p) => p.pick(CALLS)(p), done.signal));
  for (const together of grouped(faults)) {
    await untilSucceeded(report, report.succeeded + CALLS_BEFORE_FAULT * sessions);
    await delay(100 + random() * 400);
    const targets = together.map(() => players[Math.floor(random() * players.length)]);
    await Promise.all(
      together.map(async (fault, index) => {
        const player = targets[index];
        if (player !== undefined) await applyFault(fault, player, report);
      }),
    );
  }
  await untilSucceeded(report, succeededBefore + CALLS_PER_ROUND * sessions);
  done.abort();
  await Promise.all(playing);
  for (const { server, sandboxes } of players)
    for (const sandbox of sandboxes) await sandbox.verify(server, report);
  for (const { sandboxes } of players)
    for (const { isDamaged, sandboxId } of sandboxes) if (isDamaged) damaged.add(sandboxId);
  await Promise.all(players.map((player) => end(player, random())));
  await cleanUp(environment, report, damaged);
  await requireNothingLeft(environment, report, damaged);
}

/** Every call is answered or its server replaced, so this ends. */
async function untilSucceeded(report: Report, count: number): Promise<void> {
  while (report.succeeded < count) await delay(20);
}

/** A fault of the machine and one of a server that follows it happen at the same time, every other alone. */
function grouped(faults: readonly Fault[]): Fault[][] {
  const groups: Fault[][] = [];
  for (const fault of faults) {
    const last = groups.at(-1);
    if (last?.length === 1 && last[0]?.scope === 'machine' && fault.scope === 'process') last.push(fault);
    else groups.push([fault]);
  }
  return groups;
}

async function applyFault(fault: Fault, player: Player, report: Report): Promise<void> {
  report.applied(fault.name);
  try {
    await fault.apply(player);
  } catch (error) {
    report.violation(`${fault.name}: ${error}`);
  }
}

async function end({ server }: Player, way: number): Promise<void> {
  if (way < 0.4) server.endInput();
  else server.signal(way < 0.7 ? 'SIGTERM' : 'SIGKILL');
  await server.exited();
}

/**
 * What an operator does after everything has crashed: starts a server, and stops what was meant to be kept.
 */
async function cleanUp(
  environment: Environment,
  report: Report,
  damaged: ReadonlySet<string>,
): Promise<void> {
  const server = await TortureServer.start(environment, report);
  // A list does not wait for the recovery; `clean` does.
  const { code, err } = await clean(environment.place);
  if (code !== 0 && damaged.size === 0) report.violation(`clean exited with ${code}: ${err}`);
  const list = listed.safeParse((await server.call('sandbox_list', { limit: 100 }))?.data);
  if (!list.success) report.violation('the sandboxes cannot be listed');
  for (const { sandbox_id, status } of list.data?.sandboxes ?? [])
    if (status === 'running') await server.call('sandbox_stop', { sandbox_id, blocking: true });
  // Also those whose caller was never answered.
  const taken = snapshots.safeParse((await server.call('snapshot_list', { limit: 100 }))?.data);
  for (const { snapshot_id } of taken.data?.snapshots ?? [])
    await server.call('snapshot_delete', { snapshot_id });
  server.endInput();
  await server.exited();
  await forgetEnded(environment);
}

/** Removes the records and logs of ended sandboxes, which would fill the small disk after some rounds. */
async function forgetEnded({ place }: Environment): Promise<void> {
  const flags = ['clean', '--state-dir', place.stateDir, '--retention', '1s'];
  // Its exit code says that damaged records were left as they are.
  await promisify(execFile)(process.execPath, [SERVER, ...flags]).catch(() => undefined);
}

async function requireNothingLeft(
  environment: Environment,
  report: Report,
  damaged: ReadonlySet<string>,
): Promise<void> {
  const startedAt = performance.now();
  const slowness = measureSlowness();
  for (let pauseMs = 20; ; pauseMs = Math.min(2 * pauseMs, 320)) {
    const left = leftoversOf(environment.place).filter((line) => !isDamagedRecord(line, damaged));
    if (left.length === 0) break;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > LEFTOVERS_WITHIN_MS * slowness()) {
      report.violation(`left behind after ${Math.round(waitedMs)} ms:\n${left.join('\n')}`);
      break;
    }
    await delay(pauseMs);
  }
  report.verified.leftoverChecks += 1;
}

/**
 * Files of a sandbox whose record was damaged stay for the operator; its processes, mounts and cgroups must
 * not.
 */
function isDamagedRecord(line: string, damaged: ReadonlySet<string>): boolean {
  if (/^(process|mount|cgroup) /.test(line)) return false;
  return [...damaged].some((id) => line.includes(id));
}

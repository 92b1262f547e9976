import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { RegistryConfig } from '../../../src/registry/context.ts';
import { createRegistry } from '../../../src/registry/registry.ts';
import type { Registry } from '../../../src/registry/types.ts';
import type { Clock } from '../../../src/shared/clock.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { MemoryEngine } from '../../fakes/memory-engine.ts';
import { defaultConfig } from './requests.ts';

/** A clock controlled by the test. */
export class FakeClock implements Clock {
  #now = 1_800_000_000_000;
  #lastTimer = 0;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();
  #armed: (() => void)[] = [];
  #idle: (() => void)[] = [];

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, delayMs: number): number {
    this.#lastTimer += 1;
    this.#timers.set(this.#lastTimer, { at: this.#now + delayMs, callback });
    for (const armed of this.#armed.splice(0)) armed();
    return this.#lastTimer;
  }

  clearTimeout(timer: NodeJS.Timeout | number): void {
    if (typeof timer === 'number') this.#timers.delete(timer);
    if (this.#timers.size === 0) for (const idle of this.#idle.splice(0)) idle();
  }

  /** Advances by `ms` and fires due timers in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (due === undefined) break;
      const [timer, { at, callback }] = due;
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, at);
      callback();
    }
    this.#now = end;
  }

  /** Resolves when the next timer is set. */
  nextTimer(): Promise<void> {
    return new Promise((resolve) => this.#armed.push(resolve));
  }

  /** Resolves when the last timer is cleared. */
  idle(): Promise<void> {
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  get timers(): number {
    return this.#timers.size;
  }
}

/** Log lines as written, for expectations. */
export class LogLines {
  readonly lines: string[] = [];
  #expected: { part: string; seen: () => void }[] = [];

  write(line: string): void {
    this.lines.push(line);
    for (const { part, seen } of this.#expected) if (line.includes(part)) seen();
    this.#expected = this.#expected.filter(({ part }) => !line.includes(part));
  }

  /** Resolves when the next line with this part is written. */
  nextLine(part: string): Promise<void> {
    return new Promise((seen) => this.#expected.push({ part, seen }));
  }
}

/** A folder that is removed at the end of the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sandbox-mcp-registry-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface World {
  registry: Registry;
  engine: MemoryEngine;
  clock: FakeClock;
  stateDir: string;
  log: LogLines;
  /** Another server on the same engine and state, like the next start of the program. */
  restart(config?: Partial<RegistryConfig>): Registry;
  /** How often a registry has started a recovery that outlives it. */
  finished(): number;
}

/** A registry with the fake engine and a new state directory. */
export function openWorld(config: Partial<RegistryConfig> = {}): World {
  const clock = new FakeClock();
  const stateDir = temporaryFolder();
  const engine = new MemoryEngine(() => clock.now());
  const log = new LogLines();
  let finished = 0;
  const start = (changes: Partial<RegistryConfig>): Registry =>
    createRegistry({
      engine,
      clock,
      stateDir,
      config: { ...defaultConfig, ...changes },
      log: createLogger('debug', log),
      finishLater: () => {
        finished += 1;
      },
    });
  return {
    engine,
    clock,
    stateDir,
    log,
    finished: () => finished,
    registry: start(config),
    restart: (changes = config) => start(changes),
  };
}

/** The `SandboxError` that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<SandboxError> {
  const outcome = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (outcome instanceof SandboxError) return outcome;
  throw new Error('Expected a SandboxError.', { cause: outcome });
}

export { defaultConfig, neverAborted, plainRequest, sleep } from './requests.ts';

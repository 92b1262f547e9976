/** What a torture did and found, in numbers. */
import { measureSlowness } from '../support/timer-lag.ts';

export class Report {
  rounds = 0;
  sandboxes = 0;
  servers = 0;
  cancelled = 0;
  /** Requests to servers that were killed before they answered. */
  lostRequests = 0;
  slowestMs = 0;
  /** Calls that were answered without an error. */
  succeeded = 0;
  readonly verified = { files: 0, logs: 0, runs: 0, leftoverChecks: 0 };
  readonly violations: string[] = [];
  readonly faults = new Map<string, number>();
  /** Why a fault could not be tried here. */
  readonly skipped = new Map<string, string>();
  readonly #calls = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #notify: (line: string) => void;
  readonly #slowness = measureSlowness();

  /** @param notify receives a line about each fault and each violation at once */
  constructor(notify: (line: string) => void = () => {}) {
    this.#notify = notify;
  }

  answered(tool: string, code: string | null, tookMs: number): void {
    add(this.#calls, tool);
    if (code === null) this.succeeded += 1;
    else add(this.#errors, code);
    this.slowestMs = Math.max(this.slowestMs, tookMs);
  }

  applied(fault: string): void {
    add(this.faults, fault);
    this.#notify(`fault: ${fault}`);
  }

  violation(text: string): void {
    this.violations.push(text);
    this.#notify(`violation: ${text}`);
  }

  toString(): string {
    const { files, logs, runs, leftoverChecks } = this.verified;
    return [
      `rounds: ${this.rounds}, servers started: ${this.servers}, sandboxes created: ${this.sandboxes}`,
      `calls answered: ${sum(this.#calls)} (${list(this.#calls)})`,
      `of these with an error: ${sum(this.#errors)} (${list(this.#errors)})`,
      `cancelled: ${this.cancelled}, to a server that was killed first: ${this.lostRequests}, slowest answer: ${Math.round(this.slowestMs)} ms`,
      `this process ran ${this.#slowness().toFixed(1)} times slower than on an idle machine`,
      `faults: ${sum(this.faults)} (${list(this.faults)})`,
      ...[...this.skipped].map(([fault, why]) => `not tried: ${fault}, needs ${why}`),
      `verified: ${files} files, ${logs} logs, ${runs} commands for running at most once, ${leftoverChecks} times that nothing is left`,
      `violations: ${this.violations.length}`,
      ...this.violations.map((text) => `- ${text}`),
    ].join('\n');
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

function list(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ');
}

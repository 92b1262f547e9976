/** A server under torture, spoken to line by line, so that every answer to every request is counted. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { SERVER } from '../support/server.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureTimerLag, processorTimes } from '../support/timer-lag.ts';
import type { Environment } from './environment.ts';
import type { Report } from './report.ts';

/** What is promised of a call with `wait_ms`, which may answer as much later, and of every other call. */
const BEYOND_WAIT_MS = 5_000;
const PROMISED_MS = 55_000;
/** For waits of the server that are not for a processor, such as those for a disk. */
const SLACK_MS = 20_000 * TIMEOUT_FACTOR;
/** After this time without an answer the server counts as hanging, however long it waited for a processor. */
const HANGS_AFTER_MS = 240_000 * TIMEOUT_FACTOR;
const HANGS_AT_LAST_MS = 5 * HANGS_AFTER_MS;
const CHECK_EVERY_MS = 5_000;
const KEPT_LOG = 200_000;

const messageSchema = z.object({
  id: z.number().optional(),
  result: z
    .object({
      content: z.array(z.object({ text: z.string().optional() })).optional(),
      structuredContent: z.record(z.string(), z.unknown()).optional(),
      isError: z.boolean().optional(),
    })
    .optional(),
  error: z.object({ message: z.string() }).optional(),
});

export interface Answer {
  /** The structured result; null for an error. */
  readonly data: Record<string, unknown> | null;
  readonly code: string | null;
  readonly text: string;
}

interface Pending {
  readonly tool: string;
  readonly promisedMs: number;
  readonly sentAt: number;
  /** For how long the server had waited for a processor, and had been stopped, when the request was sent. */
  readonly waitedMs: number;
  readonly stoppedMs: number;
  /** How late timers of this process have been since then, in milliseconds. */
  readonly lag: () => number;
  resolveCall(answer: Answer | null): void;
}

export class TortureServer {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #report: Report;
  readonly #exited: Promise<unknown>;
  readonly #pending = new Map<number, Pending>();
  readonly #cancelled = new Set<number>();
  #nextId = 0;
  #log = '';
  #mayDie = false;
  /** For how long it was stopped by SIGSTOP. */
  #stoppedMs = 0;

  static async start(environment: Environment, report: Report): Promise<TortureServer> {
    const server = new TortureServer(environment, report);
    report.servers += 1;
    const clientInfo = { name: 'torture', version: '1' };
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
    await server.#request('initialize', params, 'initialize', PROMISED_MS);
    server.#send({ jsonrpc: '2.0', method: 'notifications/initialized' });
    return server;
  }

  private constructor({ place, runtime, clockFile }: Environment, report: Report) {
    this.#report = report;
    const clock = join(import.meta.dirname, 'fixtures/clock.mjs');
    const warm = ['--warm', String(report.servers % 2)];
    const flags = ['--oci-runtime', runtime, '--log-level', 'warn', '--disk-mb', '64', ...warm];
    this.#child = spawn(
      process.execPath,
      ['--import', clock, SERVER, '--state-dir', place.stateDir, ...flags],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        cwd: place.files,
        env: { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'], CLOCK_OFFSET_FILE: clockFile },
      },
    );
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-KEPT_LOG);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#receive(line));
    this.#exited = Promise.all([once(this.#child, 'exit'), once(this.#child.stdout, 'close')]).then(() =>
      this.#end(),
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Null if the server was killed before it answered. */
  call(tool: string, args: Record<string, unknown>): Promise<Answer | null> {
    const { wait_ms: waitMs } = args;
    const promisedMs =
      typeof waitMs === 'number' ? Math.min(PROMISED_MS, waitMs + BEYOND_WAIT_MS) : PROMISED_MS;
    return this.#request('tools/call', { name: tool, arguments: args }, tool, promisedMs);
  }

  /** Starts a call and cancels it; there is at most one answer to it, which is ignored. */
  cancelled(tool: string, args: Record<string, unknown>): void {
    const id = this.#nextId++;
    this.#cancelled.add(id);
    this.#report.cancelled += 1;
    const params = { name: tool, arguments: args };
    this.#send({ jsonrpc: '2.0', id, method: 'tools/call', params });
    this.#send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } });
  }

  /** From now on the server may end without having answered. */
  signal(name: NodeJS.Signals): void {
    this.#mayDie = true;
    this.#child.kill(name);
  }

  async stopFor(ms: number): Promise<void> {
    this.#stoppedMs += ms;
    this.#child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.#child.kill('SIGCONT');
  }

  /** Ends the input, as a client does when it exits, once every request is answered. */
  endInput(): void {
    this.#mayDie = true;
    this.#child.stdin.end();
  }

  exited(): Promise<unknown> {
    return this.#exited;
  }

  /** The last lines of its log with this text. */
  logLines(text: string): string {
    return this.#log
      .split('\n')
      .filter((line) => line.includes(text))
      .slice(-3)
      .join('\n');
  }

  #request(method: string, params: object, tool: string, promisedMs: number): Promise<Answer | null> {
    if (this.hasExited) return Promise.resolve(null);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const checks = setInterval(() => this.#killIfHanging(id), CHECK_EVERY_MS);
      const resolveCall = (answer: Answer | null): void => {
        clearInterval(checks);
        resolve(answer);
      };
      this.#pending.set(id, {
        tool,
        promisedMs,
        sentAt: performance.now(),
        waitedMs: processorTimes(this.pid).waitedMs,
        stoppedMs: this.#stoppedMs,
        lag: measureTimerLag(),
        resolveCall,
      });
      this.#send({ jsonrpc: '2.0', id, method, params });
    });
  }

  #killIfHanging(id: number): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    const tookMs = performance.now() - pending.sentAt;
    const couldRunMs = tookMs - this.#keptWaitingMs(pending);
    if (couldRunMs < HANGS_AFTER_MS && tookMs < HANGS_AT_LAST_MS) return;
    this.#report.violation(
      `${pending.tool} was not answered within ${Math.round(tookMs)} ms, of which the server could run ${Math.round(couldRunMs)} ms`,
    );
    this.signal('SIGKILL');
  }

  /** For how long the machine or a signal has kept the server from answering a request, in milliseconds. */
  #keptWaitingMs({ waitedMs, stoppedMs }: Pending): number {
    return processorTimes(this.pid).waitedMs - waitedMs + this.#stoppedMs - stoppedMs;
  }

  #send(message: object): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #receive(line: string): void {
    const { id, result, error } = messageSchema.parse(JSON.parse(line));
    if (id === undefined) return;
    if (this.#cancelled.delete(id)) return;
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      this.#report.violation(`request ${id} was answered twice: ${line.slice(0, 300)}`);
      return;
    }
    this.#pending.delete(id);
    const text = (result?.content ?? []).map((block) => block.text ?? '').join('\n');
    const failed = error !== undefined || result?.isError === true;
    const code = failed ? (/^Error \((\w+)\)/.exec(text)?.[1] ?? 'protocol') : null;
    const tookMs = performance.now() - pending.sentAt;
    this.#report.answered(pending.tool, code, tookMs);
    // Either the server was late or this process, or both at the same time.
    const lateMs = Math.max(this.#keptWaitingMs(pending), pending.lag());
    if (tookMs > pending.promisedMs + SLACK_MS + lateMs)
      this.#report.violation(
        `${pending.tool} took ${Math.round(tookMs)} ms, of which it was kept waiting ${Math.round(lateMs)} ms: ${text.slice(0, 300)}`,
      );
    if (text.includes('Unexpected error'))
      this.#report.violation(
        `${pending.tool}: ${text.slice(0, 300)}\n${this.logLines('"unexpected error"').slice(-2_000)}`,
      );
    pending.resolveCall({ data: failed ? null : (result?.structuredContent ?? {}), code, text });
  }

  #end(): void {
    if (!this.#mayDie)
      this.#report.violation(
        `a server died: exit code ${this.#child.exitCode}, signal ${this.#child.signalCode}: ${this.#log.slice(-1_000)}`,
      );
    this.#report.lostRequests += this.#pending.size;
    for (const { lag, resolveCall } of this.#pending.values()) {
      lag();
      resolveCall(null);
    }
    this.#pending.clear();
  }
}

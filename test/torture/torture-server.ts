/** A server under torture, spoken to line by line, so that every answer to every request is counted. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { SERVER } from '../support/server.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureTimerLag } from '../support/timer-lag.ts';
import type { Environment } from './environment.ts';
import type { Report } from './report.ts';

/** The promise is 55 s; the rest allows for a busy machine. */
const ANSWER_WITHIN_MS = 75_000 * TIMEOUT_FACTOR;
/** After this time without an answer the server counts as hanging. */
const HANGS_AFTER_MS = 240_000 * TIMEOUT_FACTOR;
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
  readonly sentAt: number;
  /** How late timers have been since then, in milliseconds. */
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
    await server.#request('initialize', params, 'initialize');
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

  /** Null if the server was killed before it answered. */
  call(tool: string, args: Record<string, unknown>): Promise<Answer | null> {
    return this.#request('tools/call', { name: tool, arguments: args }, tool);
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

  #request(method: string, params: object, tool: string): Promise<Answer | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve(null);
    const id = this.#nextId++;
    const hanging = setTimeout(() => {
      this.#report.violation(`${tool} was not answered within ${HANGS_AFTER_MS} ms`);
      this.signal('SIGKILL');
    }, HANGS_AFTER_MS);
    return new Promise((resolve) => {
      const resolveCall = (answer: Answer | null): void => {
        clearTimeout(hanging);
        resolve(answer);
      };
      this.#pending.set(id, { tool, sentAt: performance.now(), lag: measureTimerLag(), resolveCall });
      this.#send({ jsonrpc: '2.0', id, method, params });
    });
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
    const lagMs = pending.lag();
    if (tookMs > ANSWER_WITHIN_MS + this.#stoppedMs + 2 * lagMs)
      this.#report.violation(
        `${pending.tool} took ${Math.round(tookMs)} ms (timers: ${Math.round(lagMs)} ms late): ${text.slice(0, 300)}`,
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

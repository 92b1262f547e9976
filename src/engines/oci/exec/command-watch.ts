/** Follows one running command in this process: the supervisor's events, and their listeners. */
import { onAbort } from '../../../shared/async/on-abort.ts';
import { type AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import { Fields, FRAME, TAG } from '../protocol/frames.ts';
import type { CommandRecord } from '../state/command-record.ts';
import { type Exit, type OutputTotals, parseExit } from './command-state.ts';

type Listener = () => void;

export class CommandWatch {
  readonly record: CommandRecord;
  readonly #connection: AgentConnection;
  readonly #listeners = new Set<Listener>();
  totals: OutputTotals;
  /** Null while it runs, and if the connection ended before the command. */
  exit: Exit | null = null;
  /** True once no more events will come. */
  closed = false;

  /** Takes over a connection after `STARTED` or `ATTACH`, on which events arrive. */
  constructor(record: CommandRecord, connection: AgentConnection, totals: OutputTotals) {
    this.record = record;
    this.#connection = connection;
    this.totals = totals;
    // Following a command does not keep the process alive; waiting for it does.
    connection.unref();
  }

  /** Reads events to the end; rejects only on a protocol error. */
  async follow(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === null) return;
        if (frame.type === FRAME.OUTPUT) {
          const fields = new Fields(frame.body);
          this.totals = { stdout: fields.number(TAG.stdoutBytes), stderr: fields.number(TAG.stderrBytes) };
        } else if (frame.type === FRAME.EXIT) {
          this.exit = parseExit(frame.body);
          this.totals = { stdout: this.exit.stdoutBytes, stderr: this.exit.stderrBytes };
          return;
        }
        this.#notify();
      }
    } catch (error) {
      if (!(error instanceof AgentDisconnectedError)) throw error;
    } finally {
      this.closed = true;
      this.#connection.close();
      this.#notify();
    }
  }

  /** Resolves at the next event, at the end, or on abort. */
  waitForChange(signal: AbortSignal): Promise<void> {
    if (this.closed || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#listeners.delete(done);
        if (this.#listeners.size === 0) this.#connection.unref();
        release();
        resolve();
      };
      this.#listeners.add(done);
      this.#connection.ref();
      const release = onAbort(signal, done);
    });
  }

  close(): void {
    this.#connection.close();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

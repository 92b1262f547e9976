/** One running command as this process follows it: the supervisor's events, and who waits for them. */
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
  /** Null while it runs, and when the connection ended before the command did. */
  exit: Exit | null = null;
  /** True when no more will come. */
  closed = false;

  /** Takes over a connection on which events arrive, after `STARTED` or `ATTACH`. */
  constructor(record: CommandRecord, connection: AgentConnection, totals: OutputTotals) {
    this.record = record;
    this.#connection = connection;
    this.totals = totals;
    // Following alone does not hold the process; waiting does.
    connection.unref();
  }

  /** Reads events to the end; rejects only for what is out of protocol. */
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
        this.#tell();
      }
    } catch (error) {
      if (!(error instanceof AgentDisconnectedError)) throw error;
    } finally {
      this.closed = true;
      this.#connection.close();
      this.#tell();
    }
  }

  /** Resolves at the next event, at the end, or when the signal fires. */
  news(signal: AbortSignal): Promise<void> {
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

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

import { randomBytes } from 'node:crypto';
import type { CallResult } from './render.ts';

/** How long a result is kept, from the creation of its task. */
const TTL_MS = 86_400_000;
const POLL_INTERVAL_MS = 1_000;
/** What every task tells its client. */
export const TASK_TIMES = { ttlMs: TTL_MS, pollIntervalMs: POLL_INTERVAL_MS };
/** Tasks that are remembered after their end, and the bytes of their results. */
const MAX_ENDED = 100;
const MAX_RESULT_BYTES = 16 * 1_024 ** 2;

/** The state of a call that continues after it was answered. Times are epoch milliseconds. */
export interface TaskState {
  readonly taskId: string;
  readonly status: 'working' | 'completed' | 'cancelled';
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly ttlMs: number;
  readonly pollIntervalMs: number;
  /** Set if it is completed. */
  readonly result?: CallResult;
}

interface Task {
  state: TaskState;
  readonly cancel: () => void;
  /** The size of its result, as JSON. */
  bytes: number;
}

/** The calls of one session that continue as tasks. */
export class Tasks {
  readonly #now: () => number;
  readonly #tasks = new Map<string, Task>();

  /** @param now the time in epoch milliseconds */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /**
   * Follows a call. `cancel` ends it; its outcome is then `cancelled`, unless it was done before.
   *
   * @param name the id of what the call is about, such as a command; null for a new id
   */
  add(name: string | null, running: Promise<CallResult>, cancel: () => void): TaskState {
    const taskId = name ?? `task_${randomBytes(9).toString('hex')}`;
    const createdAt = this.#now();
    let isCancelled = false;
    const state: TaskState = { taskId, status: 'working', createdAt, updatedAt: createdAt, ...TASK_TIMES };
    const task: Task = {
      state,
      bytes: 0,
      cancel: () => {
        isCancelled = true;
        cancel();
      },
    };
    this.#tasks.set(taskId, task);
    void running.then((result) => {
      const wasCancelled = isCancelled && result.isError === true;
      task.state = {
        ...state,
        updatedAt: this.#now(),
        ...(wasCancelled ? { status: 'cancelled' } : { status: 'completed', result }),
      };
      task.bytes = wasCancelled ? 0 : Buffer.byteLength(JSON.stringify(result));
      this.#forget();
    });
    return state;
  }

  /** Null for an unknown task. */
  get(taskId: string): TaskState | null {
    this.#forget();
    return this.#tasks.get(taskId)?.state ?? null;
  }

  /** False for an unknown task. One that has ended stays as it is. */
  cancel(taskId: string): boolean {
    const task = this.#tasks.get(taskId);
    if (task?.state.status === 'working') task.cancel();
    return task !== undefined;
  }

  /** Forgets ended tasks: those past their time, then the oldest that exceed the limits, but never the newest. */
  #forget(): void {
    const expired = this.#now() - TTL_MS;
    let [count, bytes] = [0, 0];
    for (const task of [...this.#tasks.values()].reverse()) {
      if (task.state.status === 'working') continue;
      count += 1;
      bytes += task.bytes;
      const exceeds = count > MAX_ENDED || (count > 1 && bytes > MAX_RESULT_BYTES);
      if (exceeds || task.state.createdAt < expired) this.#tasks.delete(task.state.taskId);
    }
  }
}

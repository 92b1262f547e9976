import { randomBytes } from 'node:crypto';
import type { CallResult } from './render.ts';

/** How long a result is kept, from the creation of its task. */
const TTL_MS = 86_400_000;
/** Tasks that are remembered after their end. */
const MAX_ENDED = 100;
const POLL_INTERVAL_MS = 1_000;

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
}

/** The calls of one session that continue as tasks. */
export class Tasks {
  readonly #tasks = new Map<string, Task>();

  /**
   * Follows a call. `cancel` ends it; its outcome is then `cancelled`, unless it was done before.
   *
   * @param name the id of what the call is about, such as a command; null for a new id
   */
  add(name: string | null, running: Promise<CallResult>, cancel: () => void): TaskState {
    const taskId = name ?? `task_${randomBytes(9).toString('hex')}`;
    const createdAt = Date.now();
    const limits = { ttlMs: TTL_MS, pollIntervalMs: POLL_INTERVAL_MS };
    let isCancelled = false;
    const state: TaskState = { taskId, status: 'working', createdAt, updatedAt: createdAt, ...limits };
    const task: Task = {
      state,
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
        updatedAt: Date.now(),
        ...(wasCancelled ? { status: 'cancelled' } : { status: 'completed', result }),
      };
      this.#forgetOldest();
    });
    return state;
  }

  /** Null for an unknown task. */
  get(taskId: string): TaskState | null {
    return this.#tasks.get(taskId)?.state ?? null;
  }

  /** False for an unknown task. One that has ended stays as it is. */
  cancel(taskId: string): boolean {
    const task = this.#tasks.get(taskId);
    if (task?.state.status === 'working') task.cancel();
    return task !== undefined;
  }

  #forgetOldest(): void {
    const ended = [...this.#tasks.values()].filter(({ state }) => state.status !== 'working');
    for (const { state } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED)))
      this.#tasks.delete(state.taskId);
  }
}

/** The part of the engine contract for sandboxes that end with the processes that use them. */

/**
 * Present if a sandbox ends with its owners: when the last process that owns it has died or closed its
 * engine, every process in the sandbox is killed, on this machine at once, in a cloud when its lease has run
 * out. The process that creates a sandbox owns it.
 */
export interface Ownership {
  /** Makes this process an owner too. Does nothing for a sandbox that is kept or not running. */
  take(sandboxId: string, signal: AbortSignal): Promise<void>;
  /**
   * Ends this process's ownership. Without other owners, the sandbox ends as after the death of this process.
   */
  giveUp(sandboxId: string): void;
}

/** Transfers between the host and a sandbox, as the tools see them. Types only. */

/** How much has been transferred so far. */
export interface TransferProgress {
  files: number;
  bytes: number;
}

export interface TransferResult extends TransferProgress {
  localPath: string;
  remotePath: string;
  /** Set for a single file; null for a directory. */
  sha256: string | null;
  /** How many entries were skipped, and the first of them with the reasons. */
  skipped: number;
  skippedPaths: string[];
  /** Downloaded files that programs of this machine may run once somebody works in the folder. */
  executesOnHost: string[];
}

export interface TransferRequest {
  direction: 'upload' | 'download';
  /**
   * Everything that determines what is transferred where, normalized: equal values mean the same transfer.
   */
  arguments: readonly unknown[];
}

/**
 * Runs the transfer and reports each file and chunk of bytes. When the signal fires, it undoes its work and
 * rejects. `note` is called with each unfinished path on this machine before the path is created, so that
 * recovery can find it if this process dies.
 */
export type TransferWork = (
  signal: AbortSignal,
  report: (files: number, bytes: number) => void,
  note: (path: string) => Promise<void>,
) => Promise<TransferResult>;

/** A running or ended transfer, as seen by one call. */
export interface Transfer {
  /** True for the call that started it, false for a call that joined. */
  readonly begun: boolean;
  readonly result: Promise<TransferResult>;
  soFar(): TransferProgress;
  /** Calls back on progress until the returned function is called. */
  watch(listener: () => void): () => void;
  /** Marks the result as received by a caller, so that it need not be kept. */
  fetched(): void;
  /** Cancels the transfer and resolves when it is undone. Never rejects. */
  cancel(): Promise<void>;
}

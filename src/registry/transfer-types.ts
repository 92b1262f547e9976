/** Transfers between the host and a sandbox, as the tools see them: types alone. */

/** How much has been transferred so far. */
export interface TransferProgress {
  files: number;
  bytes: number;
}

export interface TransferResult extends TransferProgress {
  localPath: string;
  remotePath: string;
  /** Of a single file; null for a directory. */
  sha256: string | null;
  /** Entries that were skipped, and the first of them with the reason. */
  skipped: number;
  skippedPaths: string[];
}

export interface TransferRequest {
  direction: 'upload' | 'download';
  /** Everything that decides what is transferred where, normalized: equal values mean the same transfer. */
  arguments: readonly unknown[];
}

/**
 * Carries it over and reports each file and run of bytes; when the signal fires, undoes what it has done and rejects.
 * `note` is told of each unfinished path on this machine before it is made, for whoever comes where this process dies.
 */
export type TransferWork = (
  signal: AbortSignal,
  report: (files: number, bytes: number) => void,
  note: (path: string) => Promise<void>,
) => Promise<TransferResult>;

/** A transfer under way or ended, as one call sees it. */
export interface Transfer {
  /** True for the call that began it, false for one that has joined. */
  readonly begun: boolean;
  readonly result: Promise<TransferResult>;
  soFar(): TransferProgress;
  /** Calls back whenever it has come further, until the answered function is called. */
  watch(listener: () => void): () => void;
  /** Says that a caller has the result, so that it need not be kept. */
  fetched(): void;
  /** Ends it and resolves when it is undone. Never rejects. */
  cancel(): Promise<void>;
}

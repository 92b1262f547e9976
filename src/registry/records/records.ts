/** Ownership records of one kind: in files of this machine, or in a store that replicas share. */
export interface Records<Item> {
  /**
   * The record is stored when this resolves.
   *
   * @throws SandboxError `unavailable` if it cannot be stored here at all, `server` if the disk fails
   */
  write(record: Item): Promise<void>;
  /**
   * Null if there is no record.
   *
   * @throws SandboxError `internal` for a record that cannot be read; the log has the reason
   */
  read(id: string): Promise<Item | null>;
  /** Every readable record, in no particular order. Unreadable ones are logged and skipped. */
  all(): Promise<Item[]>;
  /** The same without final records. */
  unfinished(): Promise<Item[]>;
  /** The ids of records with damaged contents. Those that a newer version has written are not among them. */
  damaged(): Promise<string[]>;
  /** Changes a record and returns the new one. Null if the record is gone: it is not created again. */
  update(id: string, change: (record: Item) => Item): Promise<Item | null>;
  /** A missing record is no error. */
  remove(id: string): Promise<void>;
  /** Removes what interrupted writes left. */
  removeAbandoned(): Promise<void>;
}

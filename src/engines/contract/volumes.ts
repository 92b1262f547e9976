/** Named volumes: directories that outlive the sandboxes that mount them. */

/** A volume in a sandbox. Created empty when it is first named; files in it belong to the sandbox's user. */
export interface VolumeMount {
  /** Whose it is: volumes of different owners are different, also under one name. */
  owner: string;
  name: string;
  /** Absolute and normalized. */
  path: string;
  readOnly: boolean;
}

export interface Volume {
  owner: string;
  name: string;
  sizeBytes: number;
  createdAt: number;
  /** Ids of the live sandboxes that have it mounted. */
  usedBy: string[];
}

/** Present if the engine has volumes. */
export interface Volumes {
  /** By owner and name. */
  list(signal: AbortSignal): Promise<Volume[]>;
  /**
   * Removes a volume with its files.
   *
   * @throws `not_found`; `conflict` while a live sandbox has it mounted
   */
  remove(owner: string, name: string, signal: AbortSignal): Promise<void>;
  /** Removes every volume that no live sandbox has mounted. */
  prune(signal: AbortSignal): Promise<Volume[]>;
}

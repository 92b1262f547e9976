/** What another replica needs to continue a session. Its sandboxes are found by their records. */
export interface SessionState {
  readonly sessionId: string;
  /** How many sandboxes it has created. */
  readonly created: number;
  readonly currentSandboxId: string | null;
}

export interface SessionOptions {
  /** Of a session that another replica served; a new one otherwise. */
  readonly state?: SessionState;
  /** Called when the state has changed. */
  readonly onChange?: (state: SessionState) => void;
}

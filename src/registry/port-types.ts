/** A sandbox, and whose it is. */
export interface SandboxOwner {
  readonly principal: string;
  readonly sandboxId: string;
}

/** A port that a sandbox exposes. */
export interface ExposedPort extends SandboxOwner {
  readonly port: number;
}

/** A port that a sandbox exposes, and whose it is. */
export interface ExposedPort {
  readonly principal: string;
  readonly sandboxId: string;
  readonly port: number;
}

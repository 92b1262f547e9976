/** The terminal or pipe of the person who ran the verb. */
export interface Terminal {
  out(data: string | Uint8Array): void;
  err(text: string): void;
  /** True if `out` is a screen, on which a sandbox must not write control sequences. */
  readonly isScreen: boolean;
}

/** The terminal or pipe of the person who typed the verb. */
export interface Terminal {
  out(data: string | Uint8Array): void;
  err(text: string): void;
  /** True where `out` is a screen, whose control sequences are not for a sandbox to write. */
  readonly isScreen: boolean;
}

/** The part of the engine contract for the ports of a sandbox. */

export interface Listener {
  port: number;
  /** Null if it cannot be seen, such as that of another user. */
  pid: number | null;
  program: string | null;
}

/** Present if the engine can expose ports. */
export interface Ports {
  /**
   * Makes every exposed port of the sandbox reachable from here, until the engine's `close` or the sandbox's
   * end.
   */
  open(sandboxId: string, signal: AbortSignal): Promise<void>;
  /**
   * Exposes a further port of a running sandbox. One that is exposed already is no error.
   *
   * @throws `limit_exceeded` for more ports than a sandbox may expose, `conflict` unless it is running
   */
  expose(sandboxId: string, port: number, signal: AbortSignal): Promise<void>;
  /**
   * The `http://` address on this machine where this process forwards an exposed port; null if it does not, or
   * the sandbox has ended. Absent if ports have public URLs of their own.
   */
  forwardedUrl?(sandboxId: string, port: number): string | null;
  /** The TCP ports that programs in a running sandbox listen on, exposed or not, by port. */
  listeners(sandboxId: string, signal: AbortSignal): Promise<Listener[]>;
  /** How long `listeners` takes at most in a sandbox that is not too busy, in milliseconds. */
  readonly listenersMs: number;
}

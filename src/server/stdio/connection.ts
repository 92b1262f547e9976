/** One conversation of a client with the tools, in whatever revision of the protocol. Types only. */
export interface Connection {
  /** Cancels every call because the conversation is over, and resolves when all have finished. */
  endCalls(reason: Error): Promise<void>;
  close(): Promise<void>;
}

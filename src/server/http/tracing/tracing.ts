import type { Logger } from '../../../shared/log.ts';
import type { CallOutcome } from '../../call-tool.ts';

export interface TracingOptions {
  readonly version: string;
  readonly engine: string;
  readonly log: Logger;
}

/** Where the traces of calls are sent. */
export interface Tracing {
  recordCall(outcome: CallOutcome): void;
  /** Sends what has not been sent yet. */
  close(): Promise<void>;
}

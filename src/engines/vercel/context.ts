import type { Logger } from '../../shared/log.ts';
import type { Cloud } from './cloud.ts';
import type { HttpTuning } from './http-dispatchers.ts';
import type { VercelLayout } from './layout.ts';

/** What the parts of this engine share. */
export interface VercelContext {
  readonly cloud: Cloud;
  readonly layout: VercelLayout;
  readonly tuning: HttpTuning;
  readonly log: Logger;
}

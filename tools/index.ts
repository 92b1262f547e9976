import { commandTools, startTools } from './command.ts';
import { fileTools } from './file.ts';
import { sandboxTools } from './sandbox.ts';
import { sessionTools } from './session.ts';
import { shellTools } from './shell.ts';
import { snapshotTools } from './snapshot.ts';
import type { Tool } from './tool.ts';

/** Everything that an agent can call, in the one order in which it is always listed. */
export const TOOLS: readonly Tool[] = [
  ...sandboxTools,
  ...startTools,
  ...fileTools,
  ...shellTools,
  ...commandTools,
  ...snapshotTools,
  ...sessionTools,
];

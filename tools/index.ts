import { commandTools, startTools } from './commands/command.ts';
import type { Tool } from './common/tool.ts';
import { fileTools } from './files/file.ts';
import { sandboxTools } from './sandboxes/sandbox.ts';
import { snapshotTools } from './sandboxes/snapshot.ts';
import { sessionTools } from './session/session.ts';
import { shellTools } from './shells/shell.ts';
import { workspaceTools } from './workspaces/workspace.ts';

/** All tools, in the fixed order in which they are listed. */
export const TOOLS: readonly Tool[] = [
  ...sandboxTools,
  ...startTools,
  ...fileTools,
  ...workspaceTools,
  ...shellTools,
  ...commandTools,
  ...snapshotTools,
  ...sessionTools,
];

import type { CreateRequest, CreateWait, SandboxView } from '../../src/registry/types.ts';
import { completesWithin, systemClock } from '../../src/shared/clock.ts';
import type { ToolContext } from '../common/tool.ts';

/** Creates a sandbox in a call that continues as a task if it takes long. Cancelling the task undoes it. */
export async function createAsTask(
  request: CreateRequest,
  wait: CreateWait,
  { session, signal, softTimeoutMs }: ToolContext,
  continueAsTask: (id: string | null) => void,
): Promise<SandboxView> {
  let begin = (_sandboxId: string): void => {};
  const begun = new Promise<string>((resolve) => {
    begin = resolve;
  });
  const creating = session.create(request, signal, {
    ...wait,
    begun: (sandboxId) => begin(sandboxId),
  });
  if (await completesWithin(systemClock, softTimeoutMs, creating)) return creating;
  const first = await Promise.race([creating, begun]);
  if (typeof first !== 'string') return first;
  continueAsTask(first);
  return creating;
}

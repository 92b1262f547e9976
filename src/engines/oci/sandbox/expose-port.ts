import { withPort } from '../../../shared/network/exposed-ports.ts';
import type { OciContext } from '../context.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { reconcileRecord } from './reconcile.ts';
import { requireStatus } from './require-status.ts';

/**
 * Exposes a further port of a running sandbox: recorded, so that every process that opens its ports forwards
 * it, and forwarded by this one.
 *
 * @throws `conflict` unless the sandbox is running, `limit_exceeded` for too many ports
 */
export async function exposePort(context: OciContext, sandboxId: string, port: number): Promise<void> {
  const { layout } = await context.host();
  await reconcileRecord(context, sandboxId);
  const record = await updateRecord(layout, sandboxId, (present) => {
    requireStatus(present, 'running', 'its ports cannot be changed');
    return present.ports.includes(port) ? null : { ...present, ports: withPort(present.ports, port) };
  });
  await context.forwards.open(layout.sandbox(sandboxId).agentSocket, record);
}

import { withPort } from '../../../shared/network/exposed-ports.ts';
import type { VercelContext } from '../context.ts';
import { explain, getSandbox, notRunning } from '../sandbox/get-sandbox.ts';

/**
 * Exposes a further port of a running sandbox. The platform is sent all of its ports, so that sending the
 * request twice changes nothing.
 *
 * @throws `conflict` unless the sandbox is running, `limit_exceeded` for too many ports
 */
export async function exposePort(
  context: VercelContext,
  sandboxId: string,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const doing = 'expose a port';
  const view = await getSandbox(context, sandboxId, signal);
  if (view.status !== 'running') throw notRunning(view, doing);
  const exposed = view.ports.map((each) => each.port);
  if (exposed.includes(port)) return;
  const ports = withPort(exposed, port);
  try {
    await (await context.cloud.get(sandboxId, signal)).update({ ports }, { signal });
  } catch (error) {
    throw await explain(context, sandboxId, doing, signal, error);
  }
}

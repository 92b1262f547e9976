import { z } from 'zod';
import { REPLACES } from '../common/annotations.ts';
import { networkPolicy, toNetworkPolicy } from '../common/network-policy.ts';
import { sandboxId } from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { sandboxAnswer, sandboxOutput } from './sandbox-result.ts';

/** Changes the network policy of a running sandbox. */
export const updateNetworkPolicy: Tool = defineTool({
  name: 'sandbox_update_network_policy',
  title: 'Update network policy',
  description:
    'Replace the network policy of a running sandbox. Connections that it no longer allows are closed.',
  searchHint: 'allow or block internet access, domains',
  toolsets: ['network'],
  annotations: { ...REPLACES, openWorldHint: true },
  input: z.strictObject({ network_policy: networkPolicy, sandbox_id: sandboxId }),
  output: sandboxOutput,
  async handle(args, context) {
    const { session, signal } = context;
    const handle = await session.sandbox(args.sandbox_id);
    const view = await handle.updateNetworkPolicy(toNetworkPolicy(args.network_policy), signal);
    return { structured: sandboxAnswer(view, context) };
  },
});

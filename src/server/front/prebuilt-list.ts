/** What the front answers with, computed at build. */
import { LATEST_PROTOCOL_VERSION, SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/sdk/types.js';
import type { Tool } from '../../../tools/common/tool.ts';
import { describeTool } from '../describe-tool.ts';
import { selectTools } from '../select-tools.ts';
import type { PrebuiltForms, PrebuiltList } from './answers.ts';

/** The list for all flags and clients. */
export function prebuiltList(tools: readonly Tool[]): PrebuiltList {
  return {
    protocolVersions: [...SUPPORTED_PROTOCOL_VERSIONS],
    latestProtocolVersion: LATEST_PROTOCOL_VERSION,
    tools: tools.map((tool) => ({
      name: tool.name,
      toolsets: tool.toolsets,
      forms: formsOf(tool, false),
      readOnlyForms: formsOf(tool, true),
    })),
  };
}

/** Null for a tool that is not offered then. */
function formsOf(tool: Tool, readOnly: boolean): PrebuiltForms | null {
  const [offered] = selectTools([tool], { toolsets: 'all', readOnly });
  if (offered === undefined) return null;
  const described = JSON.stringify(describeTool(offered, 'both'));
  return { both: described, json: described, text: JSON.stringify(describeTool(offered, 'text')) };
}

import type { Tool } from '../../tools/tool.ts';
import type { Config } from '../config.ts';

/** The part of the list that this server offers, in its fixed order, the same for every connection. */
export function selectTools(
  tools: readonly Tool[],
  { toolsets, readOnly }: Pick<Config, 'toolsets' | 'readOnly'>,
): Tool[] {
  return tools.filter((tool) => {
    if (readOnly && !tool.annotations.readOnlyHint) return false;
    return toolsets === 'all' || tool.toolsets.some((name) => toolsets.includes(name));
  });
}

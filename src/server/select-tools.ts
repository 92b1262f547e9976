import type { Tool } from '../../tools/common/tool.ts';
import type { Config } from '../config/config.ts';

/** The tools that this server offers, in a fixed order that is the same for every connection. */
export function selectTools(
  tools: readonly Tool[],
  { toolsets, readOnly }: Pick<Config, 'toolsets' | 'readOnly'>,
): Tool[] {
  const offered = readOnly
    ? tools.map(readOnlyForm).filter(({ annotations }) => annotations.readOnlyHint)
    : tools;
  return offered.filter(
    (tool) => toolsets === 'all' || tool.toolsets.some((name) => toolsets.includes(name)),
  );
}

/** The same object for each session, by which its description is remembered. */
const readOnlyForms = new WeakMap<Tool, Tool>();

function readOnlyForm(tool: Tool): Tool {
  const known = readOnlyForms.get(tool) ?? {
    ...tool,
    annotations: tool.readOnlyAnnotations ?? tool.annotations,
  };
  readOnlyForms.set(tool, known);
  return known;
}

import type { Tool, ToolAnnotations } from '../../tools/common/tool.ts';
import type { AnswerForm } from './answer-form.ts';
import { inputSchema, type ObjectSchema, outputSchema } from './input-schema.ts';

/** A tool as listed by `tools/list`. */
export interface ToolDescription {
  name: string;
  title: string;
  description: string;
  inputSchema: ObjectSchema;
  /** Absent if results may have no data: clients reject a result that lacks what its output schema promises. */
  outputSchema?: ObjectSchema;
  /** The hints that differ from their defaults in the protocol. */
  annotations: Partial<ToolAnnotations>;
  /** For clients that load most tools on demand. */
  _meta: { 'anthropic/alwaysLoad': true } | { 'anthropic/searchHint': string };
  [key: string]: unknown;
}

/** Of all tools that were described: every session lists the same ones, and a schema costs much to generate. */
const described = new WeakMap<Tool, Map<AnswerForm, ToolDescription>>();

/**
 * The description of a tool for a client, the same object each time. Result fields are described only if the client
 * gets them.
 */
export function describeTool(tool: Tool, form: AnswerForm = 'both'): Readonly<ToolDescription> {
  const forms = described.get(tool) ?? new Map<AnswerForm, ToolDescription>();
  described.set(tool, forms);
  const known = forms.get(form) ?? generate(tool, form);
  forms.set(form, known);
  return known;
}

function generate(tool: Tool, form: AnswerForm): ToolDescription {
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: inputSchema(tool.input),
    ...(form !== 'text' && tool.showsImages !== true && { outputSchema: outputSchema(tool.output) }),
    annotations: nonDefaultHints(tool.annotations),
    _meta:
      tool.searchHint === undefined
        ? { 'anthropic/alwaysLoad': true }
        : { 'anthropic/searchHint': tool.searchHint },
  };
}

/** What the protocol says about a tool without these hints. */
const DEFAULT_HINTS: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: false,
  openWorldHint: true,
};

/** Omits defaults. Two of the hints have no meaning for a read-only tool. */
function nonDefaultHints(hints: ToolAnnotations): Partial<ToolAnnotations> {
  const { readOnlyHint, openWorldHint } = hints;
  const meaningful = readOnlyHint ? { readOnlyHint, openWorldHint } : hints;
  return Object.fromEntries(
    Object.entries(meaningful).filter(([name, value]) => Reflect.get(DEFAULT_HINTS, name) !== value),
  );
}

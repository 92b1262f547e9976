import type { Tool, ToolAnnotations } from '../../tools/common/tool.ts';
import type { AnswerForm } from './answer-form.ts';
import { inputSchema, type ObjectSchema, outputSchema } from './input-schema.ts';

/** A tool as `tools/list` shows it. */
export interface ToolDescription {
  name: string;
  title: string;
  description: string;
  inputSchema: ObjectSchema;
  /** Missing where answers are text alone: clients refuse an answer that lacks what its schema promises. */
  outputSchema?: ObjectSchema;
  annotations: ToolAnnotations;
  [key: string]: unknown;
}

/** Everything a client learns of a tool; of the fields of its answers only if it gets them. */
export function describeTool(tool: Tool, form: AnswerForm = 'both'): ToolDescription {
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: inputSchema(tool.input),
    ...(form !== 'text' && { outputSchema: outputSchema(tool.output) }),
    annotations: tool.annotations,
  };
}

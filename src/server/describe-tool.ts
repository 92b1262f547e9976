import type { Tool, ToolAnnotations } from '../../tools/common/tool.ts';
import type { AnswerForm } from './answer-form.ts';
import { inputSchema, type ObjectSchema, outputSchema } from './input-schema.ts';

/** A tool as listed by `tools/list`. */
export interface ToolDescription {
  name: string;
  title: string;
  description: string;
  inputSchema: ObjectSchema;
  /** Absent if results are text only: clients reject a result that lacks what its output schema promises. */
  outputSchema?: ObjectSchema;
  annotations: ToolAnnotations;
  [key: string]: unknown;
}

/** The description of a tool for a client. Result fields are described only if the client gets them. */
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

import type { Tool, ToolAnnotations } from '../../tools/common/tool.ts';
import { inputSchema, type ObjectSchema, outputSchema } from './input-schema.ts';

/** A tool as `tools/list` shows it. */
export interface ToolDescription {
  name: string;
  title: string;
  description: string;
  inputSchema: ObjectSchema;
  outputSchema: ObjectSchema;
  annotations: ToolAnnotations;
  [key: string]: unknown;
}

/** Everything a client learns of a tool. */
export function describeTool(tool: Tool): ToolDescription {
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: inputSchema(tool.input),
    outputSchema: outputSchema(tool.output),
    annotations: tool.annotations,
  };
}

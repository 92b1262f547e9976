import { alignColumns } from '../output/table.ts';
import type { Terminal } from '../output/terminal.ts';

/** The part of a tool's definition that is printed. */
export interface ToolLine {
  readonly name: string;
  readonly description: string;
}

/** Prints each tool's name and the first sentence of its description. */
export function showTools(tools: readonly ToolLine[], terminal: Terminal): number {
  terminal.out(alignColumns(tools.map(({ name, description }) => [name, firstSentence(description)])));
  return 0;
}

/** Up to the first full stop that ends a sentence. */
export function firstSentence(text: string): string {
  return /^.*?[.](?=\s|$)/s.exec(text)?.[0].replaceAll('\n', ' ') ?? text;
}

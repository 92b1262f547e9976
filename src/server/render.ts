import type { ToolAnswer } from '../../tools/common/tool.ts';
import type { SandboxError } from '../shared/errors.ts';
import { type ClientAnswers, REST } from './answer-form.ts';

/** The result of `tools/call`. A type, not an interface: the SDK's result type has an index signature. */
export type CallResult = {
  content: ({ type: 'text'; text: string } | { type: 'image'; data: string; mimeType: string })[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
};

/**
 * A complete result, in most forms twice: as data and as text, since some clients show the model only one of the two.
 * An image is sent once, as a separate content block.
 */
export function renderAnswer(answer: ToolAnswer, { form, imagesAlone }: ClientAnswers = REST): CallResult {
  const { structured, image } = answer;
  const text = form === 'json' ? JSON.stringify(structured) : (answer.text ?? readable(structured));
  const content: CallResult['content'] = [{ type: 'text', text }];
  if (image !== undefined) {
    content.push({ type: 'image', data: image.data.toString('base64'), mimeType: image.mimeType });
  }
  const isAlone = form === 'text' || (imagesAlone && image !== undefined);
  return isAlone ? { content } : { content, structuredContent: structured };
}

/** Error results are text only: structured content would have to match the tool's output schema. */
export function renderError(error: SandboxError): CallResult {
  const lines = [`Error (${error.code}): ${error.message}`, `Next step: ${error.hint}`];
  if (Object.keys(error.details).length > 0) lines.push(`Details: ${JSON.stringify(error.details)}`);
  return { content: [{ type: 'text', text: lines.join('\n') }], isError: true };
}

/**
 * One `name: value` per line; long text goes below its name, lists have one entry per line. Fields without a value
 * share one last line, so that they are listed at little cost.
 */
export function readable(structured: Record<string, unknown>): string {
  const lines: string[] = [];
  const empty: string[] = [];
  for (const [name, value] of Object.entries(structured)) {
    if (value === null || value === undefined) empty.push(name);
    else lines.push(field(name, value));
  }
  if (empty.length > 0) lines.push(`null: ${empty.join(', ')}`);
  return lines.join('\n');
}

function field(name: string, value: unknown): string {
  if (typeof value === 'string') return value.includes('\n') ? `${name}:\n${value}` : `${name}: ${value}`;
  if (Array.isArray(value) && value.some((entry) => typeof entry === 'object')) {
    return [`${name}:`, ...value.map((entry) => `- ${inline(entry)}`)].join('\n');
  }
  return `${name}: ${inline(value)}`;
}

/** JSON without the fields that have no value. */
function inline(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (part === null ? undefined : part)) ?? '';
}

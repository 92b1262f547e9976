import type { ToolAnswer } from '../../tools/common/tool.ts';
import type { SandboxError } from '../shared/errors.ts';
import { textBlock } from '../shared/text/text.ts';
import type { AnswerForm } from './answer-form.ts';

/** The result of `tools/call`. A type, not an interface: the SDK's result type has an index signature. */
export type CallResult = {
  content: ({ type: 'text'; text: string } | { type: 'image'; data: string; mimeType: string })[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
};

/**
 * A complete result, in most forms twice: as data and as text, since some clients show the model only one of
 * the two. An image comes with text alone: those that show the data would not show it.
 */
export function renderAnswer(answer: ToolAnswer, form: AnswerForm = 'both'): CallResult {
  const { structured, image } = answer;
  const text = form === 'json' ? JSON.stringify(structured) : (answer.text ?? readable(structured));
  const content: CallResult['content'] = [{ type: 'text', text }];
  if (image !== undefined) {
    content.push({ type: 'image', data: image.data.toString('base64'), mimeType: image.mimeType });
  }
  const isAlone = form === 'text' || image !== undefined;
  return isAlone ? { content } : { content, structuredContent: structured };
}

/** Error results are text only: structured content would have to match the tool's output schema. */
export function renderError(error: SandboxError): CallResult {
  const lines = [`Error (${error.code}): ${error.message}`, `Next step: ${error.hint}`];
  if (Object.keys(error.details).length > 0) lines.push(`Details: ${JSON.stringify(error.details)}`);
  return { content: [{ type: 'text', text: lines.join('\n') }], isError: true };
}

/** Fields with text that comes out of a sandbox. */
const CONTENT = new Set(['content', 'stdout', 'stderr', 'screen', 'output', 'diff']);

/**
 * One `name: value` per line, lists with one entry per line. Fields without a value share one line, so that
 * they are listed at little cost. Text out of a sandbox comes last, each with its length: nothing in it can
 * be taken for a field of ours.
 */
export function readable(structured: Record<string, unknown>): string {
  const lines: string[] = [];
  const blocks: string[] = [];
  const empty: string[] = [];
  for (const [name, value] of Object.entries(structured)) {
    if (value === null || value === undefined) empty.push(name);
    else if (typeof value === 'string' && CONTENT.has(name)) blocks.push(textBlock(name, value));
    else lines.push(field(name, value));
  }
  if (empty.length > 0) lines.push(`null: ${empty.join(', ')}`);
  return [...lines, ...blocks].join('\n');
}

/** Line breaks, also those that only some programs take for one. */
const LINE_BREAK = /[\n\v\f\r\u0085\u2028\u2029]/;

function field(name: string, value: unknown): string {
  // A path, for example, may have a line break in it.
  if (typeof value === 'string') return `${name}: ${LINE_BREAK.test(value) ? JSON.stringify(value) : value}`;
  if (Array.isArray(value) && value.some((entry) => typeof entry === 'object')) {
    return [`${name}:`, ...value.map((entry) => `- ${inline(entry)}`)].join('\n');
  }
  return `${name}: ${inline(value)}`;
}

/** JSON without the fields that have no value. */
function inline(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (part === null ? undefined : part)) ?? '';
}

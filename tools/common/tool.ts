import type { z } from 'zod';
import type { Config, TOOLSETS } from '../../src/config/config.ts';
import type { Session } from '../../src/registry/types.ts';
import { withoutNulls } from './optional-nulls.ts';

/** The groups that `--toolsets` narrows the list to; `core` is the smallest useful set. */
export type Toolset = (typeof TOOLSETS)[number];

/** The narrow window through which a handler sees the world. */
export interface ToolContext {
  readonly session: Session;
  /** Fires when the client cancels the call. */
  readonly signal: AbortSignal;
  readonly config: Config;
  /** Shows a line of progress; does nothing where the client asked for none. */
  progress(line: string): void;
  /** Whether the client asked for progress, so that nothing is read that nobody sees. */
  readonly wantsProgress: boolean;
  /** Milliseconds after which work that cannot be asked to be quicker is answered with the state reached. */
  readonly softTimeoutMs: number;
  /** Unix epoch milliseconds. */
  now(): number;
}

/** A complete answer: data for programs, and the same in words where the rendered JSON would read badly. */
export interface ToolAnswer {
  structured: Record<string, unknown>;
  /** Readable form; left out, the funnel renders `structured`. */
  text?: string;
  /** A picture for the model to look at. */
  image?: AnswerImage;
}

export interface AnswerImage {
  data: Buffer;
  mimeType: string;
}

export interface ToolAnnotations {
  readOnlyHint: boolean;
  destructiveHint: boolean;
  idempotentHint: boolean;
  openWorldHint: boolean;
}

export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly toolsets: readonly Toolset[];
  readonly annotations: ToolAnnotations;
  /** Those under `--read-only`, of a tool that then refuses whatever does more than look; left out, `annotations` decide. */
  readonly readOnlyAnnotations?: ToolAnnotations;
  readonly input: z.ZodObject;
  readonly output: z.ZodObject;
  /** Checks the arguments, once. The prepared call runs with what `input` accepted. */
  readonly prepare: (args: unknown) => PreparedCall;
}

/** A call whose arguments were accepted, or the reason why they were not. */
export type PreparedCall =
  | { readonly run: (context: ToolContext) => Promise<ToolAnswer>; readonly error?: undefined }
  | { readonly error: z.ZodError };

interface ToolDefinition<Input extends z.ZodObject, Output extends z.ZodObject> {
  name: string;
  title: string;
  description: string;
  toolsets: readonly Toolset[];
  annotations: ToolAnnotations;
  readOnlyAnnotations?: ToolAnnotations;
  input: Input;
  output: Output;
  handle(args: z.output<Input>, context: ToolContext): Promise<ToolAnswer & { structured: z.output<Output> }>;
}

/** Ties a handler to its schemas: a handler can only be called with what its own input schema has accepted. */
export function defineTool<Input extends z.ZodObject, Output extends z.ZodObject>(
  definition: ToolDefinition<Input, Output>,
): Tool {
  const { handle, ...data } = definition;
  return {
    ...data,
    prepare: (args) => {
      const parsed = data.input.safeParse(withoutNulls(args, data.input));
      return parsed.success ? { run: (context) => handle(parsed.data, context) } : { error: parsed.error };
    },
  };
}

import type { z } from 'zod';
import type { Config, TOOLSETS } from '../../src/config/config.ts';
import type { Session } from '../../src/registry/types.ts';
import { withoutNulls } from './optional-nulls.ts';

/** The groups that `--toolsets` can select; `core` is the smallest useful set. */
export type Toolset = (typeof TOOLSETS)[number];

/** What a handler can access besides its arguments and the session. */
export interface ToolContext {
  readonly session: Session;
  /** Fires when the client cancels the call. */
  readonly signal: AbortSignal;
  readonly config: Config;
  /** Shows a line of progress; does nothing if the client did not ask for progress. */
  progress(line: string): void;
  /** Whether the client requested progress; otherwise nothing needs to be read for it. */
  readonly wantsProgress: boolean;
  /**
   * Asks the user for consent to what cannot be undone. Resolves if the user consents, or if the client cannot
   * ask. A client may call again with the answer, so that nothing may have been done before.
   *
   * @param subject everything that the answer is about, where the question names a part
   * @throws `permission` if the user does not consent
   */
  confirm(question: string, subject?: string): Promise<void>;
  /**
   * Answers the call now and continues it as a task, whose result it then is: with this id, or a new one. For
   * calls that outlast their wait. Null if the client knows no tasks: such a call returns the state reached.
   */
  readonly continueAsTask: ((id: string | null) => void) | null;
  /** Milliseconds after which work without a timeout argument returns the state reached. */
  readonly softTimeoutMs: number;
  /** Shortens a wait, in milliseconds, so that the call still answers in time with the state reached. */
  boundWait(waitMs: number): number;
  /** Unix epoch milliseconds. */
  now(): number;
}

/** A complete result: data for programs, and text if the rendered JSON would be hard to read. */
export interface ToolAnswer {
  structured: Record<string, unknown>;
  /** Readable form; if absent, it is rendered from `structured`. */
  text?: string;
  /** An image for the model. */
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
  /**
   * What the tool does, in search terms, for clients that load most tools on demand. Absent for the tools
   * that start every piece of work, which such clients should always load.
   */
  readonly searchHint?: string;
  readonly toolsets: readonly Toolset[];
  readonly annotations: ToolAnnotations;
  /**
   * Annotations under `--read-only`, for a tool that then refuses anything but reading; if absent,
   * `annotations` apply.
   */
  readonly readOnlyAnnotations?: ToolAnnotations;
  readonly input: z.ZodObject;
  readonly output: z.ZodObject;
  /**
   * True if an answer may be an image. It is then sent without data, behind which clients would hide it, so that the
   * tool must not promise data.
   */
  readonly showsImages?: true;
  /** Checks the arguments, once. The prepared call runs with the output of `input`. */
  readonly prepare: (args: unknown) => PreparedCall;
}

/** A call whose arguments were accepted, or the reason why they were rejected. */
export type PreparedCall =
  | { readonly run: (context: ToolContext) => Promise<ToolAnswer>; readonly error?: undefined }
  | { readonly error: z.ZodError };

interface ToolDefinition<Input extends z.ZodObject, Output extends z.ZodObject> {
  name: string;
  title: string;
  description: string;
  searchHint?: string;
  toolsets: readonly Toolset[];
  annotations: ToolAnnotations;
  readOnlyAnnotations?: ToolAnnotations;
  input: Input;
  output: Output;
  showsImages?: true;
  handle(args: z.output<Input>, context: ToolContext): Promise<ToolAnswer & { structured: z.output<Output> }>;
}

/**
 * Binds a handler to its schemas: it can only be called with arguments that its own input schema accepted.
 */
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

import { z } from 'zod';
import { hasLoneSurrogate } from '../../src/shared/text/utf8.ts';

/** Below the 60 s timeout of common clients, with time left for the result. */
export const MAX_WAIT_MS = 55_000;
export const DEFAULT_WAIT_MS = 45_000;
export const MIN_TIMEOUT_MS = 1_000;
const MAX_PATH_BYTES = 4_096;

/** The kernel accepts no string of 128 KiB or more in arguments and environment. */
const MAX_STRING_BYTES = 131_071;
/** Arguments and environment together; the kernel's own limit depends on the stack size. */
const MAX_EXEC_BYTES = 1_048_576;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A string that can be passed to the kernel: without NUL or unpaired surrogates. */
function kernelString(maxBytes: number): z.ZodString {
  return z
    .string()
    .refine(
      (value) => !value.includes('\0') && !hasLoneSurrogate(value),
      'text without NUL or unpaired surrogates',
    )
    .refine((value) => Buffer.byteLength(value) <= maxBytes, `at most ${maxBytes} bytes of text`);
}

/** If absent, the session's current sandbox is used. */
export const sandboxId = z.string().optional();
export const commandId = z.string();
export const outputStream = z.enum(['both', 'stdout', 'stderr']).default('both');

const notEmpty = kernelString(MAX_PATH_BYTES).refine((value) => value !== '', 'a path that is not empty');

/** Only a shell expands `~`: unnoticed, it would create a file or directory of that name. */
function isHome(value: string): boolean {
  return value === '~' || value.startsWith('~/');
}

/** A path on the host. */
export const localPath = notEmpty.refine(
  (value) => !isHome(value),
  'a path without ~, which is not expanded (session_info names the allowed folders; ./~ is a name)',
);
/** A path in the sandbox. */
export const path = notEmpty.refine(
  (value) => !isHome(value),
  "a path without ~, which is not expanded (relative paths start at the sandbox's cwd; ./~ is a name)",
);
export const cwd = path.optional();

export const port = z.int().min(1).max(65_535);

export const argument = kernelString(MAX_STRING_BYTES);

export const env = z
  .record(z.string(), argument)
  .refine((value) => Object.keys(value).every((name) => ENV_NAME.test(name)), {
    error: ({ input }) =>
      `an object whose names are letters, digits and _, not starting with a digit${wrongName(input)}`,
  });

/** The first invalid name, without anything that may be a value. */
function wrongName(names: unknown): string {
  const wrong = Object.keys(Object(names)).find((name) => !ENV_NAME.test(name)) ?? '';
  return `; not ${JSON.stringify(wrong.slice(0, 80).replace(/=.*/s, '=…'))}`;
}

/** Arguments common to all tools that start commands. */
export const startShape = {
  cmd: argument
    .refine((value) => value.trim() !== '', 'the name or path of a program')
    .describe('one program'),
  args: z.array(argument).optional(),
  cwd,
  env: env.optional(),
  sudo: z.boolean().optional(),
  timeout_ms: z.int().min(1).optional().describe('kills the command'),
  sandbox_id: sandboxId,
};

/** True if the kernel accepts these arguments and variables for one program start. */
export function fitsExec(start: {
  cmd: string;
  args?: string[] | undefined;
  env?: Record<string, string> | undefined;
}): boolean {
  // Each string costs a NUL and a pointer besides its bytes.
  const cost = (text: string): number => Buffer.byteLength(text) + 9;
  let total = cost(start.cmd);
  for (const text of start.args ?? []) total += cost(text);
  for (const [name, value] of Object.entries(start.env ?? {})) total += cost(name) + cost(value);
  return total <= MAX_EXEC_BYTES;
}

/** @param names begins the sentence: what is limited, with its verb */
export function execTooBig(names: string): string {
  return `${names} at most 1 MiB in all; put more into a file with sandbox_write_files and name that file.`;
}

/**
 * How long a call waits before it returns the state reached. Also in words: some clients drop the bounds of
 * numbers.
 */
export const boundedWaitMs = z.int().min(0).max(MAX_WAIT_MS).describe(`max ${MAX_WAIT_MS}`);
export const waitMs = boundedWaitMs.default(DEFAULT_WAIT_MS);

export const encoding = z.enum(['utf8', 'base64']).default('utf8');

/** `0755` and the like, described in words: some clients drop patterns. */
export const mode = z
  .string()
  .refine((value) => /^[0-7]{3,4}$/.test(value), 'an octal string such as "0755"')
  .describe('octal, e.g. 0755');

/** ISO 8601 or epoch milliseconds. The schema has one JSON type, a string; a number is accepted as well. */
const instant = z.coerce
  .string()
  .refine((value) => !Number.isNaN(instantMs(value)), 'epoch milliseconds or an ISO 8601 time');

/** The epoch milliseconds of an `instant`; NaN for any other text. Four digits are a year. */
export function instantMs(value: string): number {
  return /^-?\d{1,16}$/.test(value) && value.length !== 4 ? Number(value) : Date.parse(value);
}

/** Arguments common to all lists. */
export const listShape = {
  limit: z.int().min(1).max(100).default(20),
  since: instant.optional().describe('epoch ms or ISO 8601'),
  until: instant.optional(),
  cursor: z.string().optional(),
};

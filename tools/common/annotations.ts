import type { ToolAnnotations } from './tool.ts';

/** Reads only. */
export const READ_ONLY: ToolAnnotations = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
};

/** Adds something; not idempotent. */
export const ADDS: ToolAnnotations = { ...READ_ONLY, readOnlyHint: false, idempotentHint: false };

/** Overwrites or ends something; idempotent. */
export const REPLACES: ToolAnnotations = { ...READ_ONLY, readOnlyHint: false, destructiveHint: true };

/** Runs a program, which may do anything, also outside the sandbox if its network policy permits. */
export const RUNS: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: false,
  openWorldHint: true,
};

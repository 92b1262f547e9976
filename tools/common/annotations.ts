import type { ToolAnnotations } from './tool.ts';

/** Looks and changes nothing. */
export const READ_ONLY: ToolAnnotations = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
};

/** Adds something; twice is more than once. */
export const ADDS: ToolAnnotations = { ...READ_ONLY, readOnlyHint: false, idempotentHint: false };

/** Overwrites or ends something; twice is the same as once. */
export const REPLACES: ToolAnnotations = { ...READ_ONLY, readOnlyHint: false, destructiveHint: true };

/** Runs a program: whatever it does, also beyond the sandbox where its network policy lets it. */
export const RUNS: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: false,
  openWorldHint: true,
};

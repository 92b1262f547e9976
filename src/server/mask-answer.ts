import type { ToolAnswer } from '../../tools/common/tool.ts';
import { SandboxError } from '../shared/errors.ts';
import type { SecretStore } from '../shared/secrets.ts';

/**
 * An answer without the values of the operator's secrets, wherever they came from: a program that may read one prints it,
 * a server that got one in a header sends it back.
 */
export function maskAnswer(answer: ToolAnswer, secrets: SecretStore): ToolAnswer {
  if (!secrets.masks) return answer;
  const structured = masked(answer.structured, secrets);
  return answer.text === undefined ? { structured } : { structured, text: secrets.mask(answer.text) };
}

/** The same for an error; its cause is the log's. */
export function maskError(error: SandboxError, secrets: SecretStore): SandboxError {
  if (!secrets.masks) return error;
  return new SandboxError(error.code, secrets.mask(error.message), {
    hint: secrets.mask(error.hint),
    details: masked(error.details, secrets),
  });
}

function masked(fields: Record<string, unknown>, secrets: SecretStore): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, maskedValue(value, secrets)]),
  );
}

function maskedValue(value: unknown, secrets: SecretStore): unknown {
  if (typeof value === 'string') return secrets.mask(value);
  if (Array.isArray(value)) return value.map((item) => maskedValue(item, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return masked({ ...value }, secrets);
}

import type { ToolAnswer } from '../../tools/common/tool.ts';
import { SandboxError } from '../shared/errors.ts';
import type { SecretStore } from '../shared/secrets.ts';

/**
 * Masks the operator's secrets in a result, wherever they came from: a program that may read one can print
 * it, and a server that received one in a header can send it back.
 */
export function maskAnswer(answer: ToolAnswer, secrets: SecretStore): ToolAnswer {
  if (!secrets.masks) return answer;
  const structured = maskFields(answer.structured, secrets);
  return { ...answer, structured, ...(answer.text !== undefined && { text: secrets.mask(answer.text) }) };
}

/** The same for an error. Its cause goes to the log only. */
export function maskError(error: SandboxError, secrets: SecretStore): SandboxError {
  if (!secrets.masks) return error;
  return new SandboxError(error.code, secrets.mask(error.message), {
    hint: secrets.mask(error.hint),
    details: maskFields(error.details, secrets),
  });
}

function maskFields(fields: Record<string, unknown>, secrets: SecretStore): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, maskValue(value, secrets)]));
}

function maskValue(value: unknown, secrets: SecretStore): unknown {
  if (typeof value === 'string') return secrets.mask(value);
  if (Array.isArray(value)) return value.map((item) => maskValue(item, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return maskFields({ ...value }, secrets);
}

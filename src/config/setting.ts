/** Parses one configuration value. An error names the value, where it came from and the valid ones. */
import { DURATION_FORMS, parseDuration } from '../shared/duration.ts';
import { SandboxError } from '../shared/errors.ts';

/** One year: keeps timers and deadlines far below the limit of exact integers. */
const MAX_DURATION_MS = 365 * 86_400_000;
const MAX_COUNT = 10_000;

/** A value, and the flag or variable that it comes from. */
export interface Setting {
  readonly origin: string;
  readonly value: string;
}

/** An invalid flag or variable; the message names it, its value and the valid ones. Exit code 2. */
export class ConfigError extends SandboxError {
  /** `value` is null for a required flag that was not given. */
  constructor({ origin, value }: Pick<Setting, 'origin'> & { value: string | null }, problem: string) {
    const subject = value === null ? origin : `${origin}: ${JSON.stringify(value)}`;
    super('invalid_argument', `${subject} ${problem}`, {
      hint: 'Run `sandbox-mcp --help` for a list of flags.',
      details: { origin, value },
    });
    this.name = 'ConfigError';
  }
}

/** One of a fixed list of words. */
export function oneOf<const T extends string>(setting: Setting, valid: readonly T[]): T {
  const found = valid.find((value) => value === setting.value);
  if (found !== undefined) return found;
  throw new ConfigError(setting, `is not valid; valid values are ${orList(valid)}.`);
}

/** `true`, `1`, `false` or `0`. */
export function boolean(setting: Setting): boolean {
  const word = oneOf(setting, ['true', 'false', '1', '0']);
  return word === 'true' || word === '1';
}

/** Milliseconds, from one second to a year. */
export function duration(setting: Setting): number {
  const milliseconds = parseDuration(setting.value);
  if (milliseconds === null) throw new ConfigError(setting, `is not a duration; use ${DURATION_FORMS}.`);
  if (milliseconds >= 1_000 && milliseconds <= MAX_DURATION_MS) return milliseconds;
  throw new ConfigError(setting, 'is out of range; use 1s to 365d.');
}

/** A whole number of at least one. */
export function count(setting: Setting): number {
  return wholeNumber(setting, 1, MAX_COUNT);
}

/** A whole number in this range, bounds included. */
export function wholeNumber(setting: Setting, least: number, most: number): number {
  const number = /^\d{1,6}$/.test(setting.value) ? Number(setting.value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new ConfigError(setting, `is not valid; use a whole number from ${least} to ${most}.`);
}

/** MiB, from 64 to 10,000,000; null for `off`. */
export function megabytes(setting: Setting): number | null {
  if (setting.value === 'off') return null;
  const number = /^\d{1,8}$/.test(setting.value) ? Number(setting.value) : 0;
  if (number >= 64 && number <= 10_000_000) return number;
  throw new ConfigError(setting, 'is not valid; use `off` or a whole number from 64 to 10000000.');
}

const BYTE_UNITS: Readonly<Record<string, number>> = { '': 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** Bytes, as a plain number or with the suffix KB, MB, GB or TB (powers of ten). */
export function bytes(setting: Setting): number {
  const [, digits = '', unit = ''] = /^(\d{1,15})([KMGT]B)?$/.exec(setting.value) ?? [];
  const number = digits === '' ? 0 : Number(digits) * (BYTE_UNITS[unit] ?? 0);
  if (number >= 1 && Number.isSafeInteger(number)) return number;
  throw new ConfigError(setting, 'is not a number of bytes; use a value such as 500000, 500MB or 2GB.');
}

/** `a, b or c`. */
export function orList(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

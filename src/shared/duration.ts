const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The accepted formats of `parseDuration`, for error messages. */
export const DURATION_FORMS = 'milliseconds, or a number with ms, s, m, h or d, such as 90s, 30m or 24h';

/** The milliseconds of a text such as `1500`, `90s`, `30m`, `24h` or `1.5d`; null if it is not a duration. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim().toLowerCase());
  if (match?.[1] === undefined) return null;
  const milliseconds = Math.round(Number(match[1]) * unitOf(match[2]));
  return Number.isSafeInteger(milliseconds) ? milliseconds : null;
}

/**
 * A duration in milliseconds as readable text, in its two largest units: `450ms`, `12s`, `3m 20s`, `23h 5m`.
 */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.max(0, Math.round(milliseconds))}ms`;
  const seconds = Math.round(milliseconds / 1_000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

function unitOf(name: string | undefined): number {
  switch (name) {
    case 's':
      return UNITS.s;
    case 'm':
      return UNITS.m;
    case 'h':
      return UNITS.h;
    case 'd':
      return UNITS.d;
    default:
      return UNITS.ms;
  }
}

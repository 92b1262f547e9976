/** Domain names as written by policies, operators and programs. */
import { domainToASCII } from 'node:url';

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * The name in lower-case ASCII, without the trailing dot; null if it is not a host name (an IP address is
 * not).
 */
export function normalizeName(text: string): string | null {
  const bare = text.endsWith('.') ? text.slice(0, -1) : text;
  // Converting to ASCII drops line breaks, which would change the meaning elsewhere.
  if (bare === '' || bare.length > 253 || /\s|\p{Cc}/u.test(bare)) return null;
  const ascii = /^[\x21-\x7e]+$/.test(bare) ? bare.toLowerCase() : domainToASCII(bare);
  const labels = ascii.split('.');
  if (!labels.every((label) => LABEL.test(label))) return null;
  // `0x7f.1` and `2130706433` are addresses in disguise: the last label of a name is never a number.
  return /^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '') ? null : ascii;
}

/** `example.com`, `*.example.com` or `*`; null for anything else. */
export function normalizePattern(text: string): string | null {
  if (text === '*') return text;
  if (!text.startsWith('*.')) return normalizeName(text);
  const rest = normalizeName(text.slice(2));
  return rest === null ? null : `*.${rest}`;
}

/** Both normalized. `*.example.com` matches every subdomain at any depth, but not `example.com` itself. */
export function matchesPattern(pattern: string, name: string): boolean {
  if (pattern === '*') return true;
  if (!pattern.startsWith('*.')) return pattern === name;
  return name.length > pattern.length - 1 && name.endsWith(pattern.slice(1));
}

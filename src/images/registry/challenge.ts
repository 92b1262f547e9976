/** Parses `WWW-Authenticate` (RFC 9110, section 11.6.1), as far as registries use it. */

export interface Challenge {
  scheme: 'basic' | 'bearer';
  parameters: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 8_192;

/** `name="value"` pairs after the scheme; a value may contain commas and escaped quotes. */
function parseParameters(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    const equals = text.indexOf('=', at);
    if (equals < 0) break;
    const name = text.slice(at, equals).replaceAll(',', '').trim().toLowerCase();
    let value = '';
    at = equals + 1;
    if (text[at] === '"') {
      at += 1;
      while (at < text.length && text[at] !== '"') {
        if (text[at] === '\\') at += 1;
        value += text[at] ?? '';
        at += 1;
      }
      at += 1;
    } else {
      const end = text.indexOf(',', at);
      value = text.slice(at, end < 0 ? undefined : end).trim();
      at = end < 0 ? text.length : end;
    }
    found.set(name, value);
  }
  return found;
}

/** The challenge to answer, bearer before basic; null if there is none that is understood. */
export function parseChallenge(headers: string | string[] | undefined): Challenge | null {
  const all = headers === undefined ? [] : Array.isArray(headers) ? headers : [headers];
  const challenges = all.flatMap((header) => {
    const text = header.slice(0, MAX_LENGTH).trim();
    const space = text.indexOf(' ');
    const scheme = (space < 0 ? text : text.slice(0, space)).toLowerCase();
    if (scheme !== 'basic' && scheme !== 'bearer') return [];
    return [{ scheme, parameters: parseParameters(space < 0 ? '' : text.slice(space + 1)) } as const];
  });
  return challenges.find(({ scheme }) => scheme === 'bearer') ?? challenges[0] ?? null;
}

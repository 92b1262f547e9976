const MASK = '***';
const SECRET_KEY =
  /password|passwd|secret|token|authorization|cookie|credential|(api|private|access)[-_]?key/i;
/** Keys that often hold maps with secret values: the names are kept, the values masked. */
const SECRET_BEARING_KEY = /^(env|headers)$/i;
const URL_CREDENTIALS = /(\w:\/\/)[^\s/@]+@/g;
const MAX_DEPTH = 8;
const MAX_ITEMS = 100;

/** Masks secrets that cannot be recognised by key or position; by default nothing. */
export type Mask = (text: string) => string;
const unmasked: Mask = (text) => text;

/** Masks the credentials in every URL of a text, and whatever `mask` recognises. */
export function redactText(text: string, mask: Mask = unmasked): string {
  return mask(text).replace(URL_CREDENTIALS, `$1${MASK}@`);
}

/**
 * A copy that is safe to log: plain data, bounded in depth and width, with every value masked whose key
 * suggests a secret. Errors become their type, message, stack, own fields and cause.
 */
export function redactFields(
  fields: Record<string, unknown>,
  mask: Mask = unmasked,
): Record<string, unknown> {
  return copyFields(fields, { depth: 0, parents: new WeakSet(), mask });
}

/** The state of a copy in progress. */
interface CopyState {
  readonly depth: number;
  readonly parents: WeakSet<object>;
  readonly mask: Mask;
}

function copy(value: unknown, place: CopyState): unknown {
  const { depth, parents, mask } = place;
  if (typeof value === 'string') return redactText(value, mask);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH || parents.has(value)) return '[…]';
  parents.add(value);
  try {
    if (Array.isArray(value))
      return value.slice(0, MAX_ITEMS).map((item) => copy(item, { ...place, depth: depth + 1 }));
    return copyFields(value, place);
  } finally {
    parents.delete(value);
  }
}

function copyFields(value: object, place: CopyState): Record<string, unknown> {
  const fields = value instanceof Error ? errorFields(value) : Object.entries(value);
  const result: Record<string, unknown> = {};
  for (const [key, field] of fields.slice(0, MAX_ITEMS)) {
    if (field === null || field === undefined) result[key] = field;
    else if (SECRET_KEY.test(key)) result[key] = MASK;
    else if (SECRET_BEARING_KEY.test(key)) result[key] = maskValues(field);
    else result[key] = copy(field, { ...place, depth: place.depth + 1 });
  }
  return result;
}

function maskValues(field: unknown): unknown {
  if (typeof field !== 'object' || field === null || Array.isArray(field)) return MASK;
  return Object.fromEntries(
    Object.keys(field)
      .slice(0, MAX_ITEMS)
      .map((key) => [key, MASK]),
  );
}

/** Message, stack and cause of an error are not enumerable. */
function errorFields(error: Error): [string, unknown][] {
  return [
    ['type', error.name],
    ['message', error.message],
    ['stack', error.stack],
    ...Object.entries(error).filter(([key]) => key !== 'name'),
    ['cause', error.cause],
  ];
}

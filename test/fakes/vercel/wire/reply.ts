/** The response of an API call, before it is sent (or corrupted on the way). */
import type { Operation } from './operations.ts';
import type { ValidatorName } from './validators.ts';

export type Reply =
  | { kind: 'json'; status: number; body: unknown; validator: ValidatorName | null }
  | { kind: 'lines'; lines: AsyncIterable<Line> }
  | { kind: 'bytes'; content: AsyncIterable<Buffer> };

/** One line of a stream, with the validator that reads it. */
export interface Line {
  value: unknown;
  validator: ValidatorName;
}

/** A request as the calls see it. */
export interface ApiRequest {
  operation: Operation;
  names: string[];
  url: URL;
  header(name: string): string | null;
  /** The body as JSON; an empty object if there is none. */
  json(): Promise<unknown>;
  /** The body as received. */
  bytes: AsyncIterable<Buffer>;
  /** Aborts when the client disconnects. */
  signal: AbortSignal;
}

/** An error response of the service. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function answer(validator: ValidatorName, body: unknown): Reply {
  return { kind: 'json', status: 200, body, validator };
}

/** The body of every failure of the service. */
export function failureReply(status: number, code: string, message: string, more: object = {}): Reply {
  return { kind: 'json', status, body: { error: { code, message, ...more } }, validator: null };
}

/** The cursor of a list is the number of items returned before. */
export function pageOf<T>(
  all: T[],
  url: URL,
): { items: T[]; pagination: { count: number; next: string | null } } {
  const cursor = url.searchParams.get('cursor') ?? '0';
  const limit = Number(url.searchParams.get('limit') ?? '20');
  if (!/^\d+$/.test(cursor)) throw new ApiFailure(400, 'bad_request', 'Invalid cursor');
  if (!Number.isInteger(limit) || limit < 1 || limit > 100)
    throw new ApiFailure(400, 'bad_request', 'Invalid limit: must be between 1 and 100');
  const start = Number(cursor);
  const items = all.slice(start, start + limit);
  const end = start + items.length;
  return { items, pagination: { count: items.length, next: end < all.length ? String(end) : null } };
}

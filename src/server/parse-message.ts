import { type JSONRPCMessage, JSONRPCMessageSchema } from '@modelcontextprotocol/sdk/types.js';

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;

/** JSON-RPC answers a message without a readable id with a null one, which the SDK's types do not know. */
export interface Refusal {
  jsonrpc: '2.0';
  id: string | number | null;
  error: { code: number; message: string };
}

export type Parsed = { message: JSONRPCMessage } | { refusal: Refusal } | { ignored: string };

/** One line of input: a message, the refusal that its sender gets, or a notification that nobody can answer. */
export function parseMessage(line: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { refusal: refusal(null, PARSE_ERROR, 'Parse error: the line is not valid JSON') };
  }
  const parsed = JSONRPCMessageSchema.safeParse(value);
  if (parsed.success) return { message: parsed.data };
  if (Array.isArray(value)) {
    return { refusal: refusal(null, INVALID_REQUEST, 'Invalid request: batches are not supported') };
  }
  if (isResponse(value)) return { ignored: 'a response that is no valid JSON-RPC 2.0' };
  return { refusal: refusal(idOf(value), INVALID_REQUEST, 'Invalid request: not a JSON-RPC 2.0 message') };
}

/** The answer to a line that was too long to be read. */
export function tooLongRefusal(limitBytes: number): Refusal {
  return refusal(null, INVALID_REQUEST, `Invalid request: a message may have at most ${limitBytes} bytes`);
}

function refusal(id: string | number | null, code: number, message: string): Refusal {
  return { jsonrpc: '2.0', id, error: { code, message } };
}

/** Answering a broken answer could go back and forth for ever. */
function isResponse(value: unknown): boolean {
  return isObject(value) && !('method' in value) && ('result' in value || 'error' in value);
}

function idOf(value: unknown): string | number | null {
  const id = isObject(value) ? Reflect.get(value, 'id') : null;
  return typeof id === 'string' || Number.isSafeInteger(id) ? id : null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

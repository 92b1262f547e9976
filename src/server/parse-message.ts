import {
  InitializeRequestSchema,
  type JSONRPCMessage,
  JSONRPCMessageSchema,
  JSONRPCRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import type { z } from 'zod';

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
const INVALID_PARAMS = -32602;

/** JSON-RPC answers a message without a readable id with a null id, which the SDK's types do not allow. */
export interface ErrorReply {
  jsonrpc: '2.0';
  id: string | number | null;
  error: { code: number; message: string };
}

export type ParsedLine = { message: JSONRPCMessage } | { errorReply: ErrorReply } | { ignored: string };

/** One line of input: a message, the error reply for its sender, or something that must not be answered. */
export function parseMessage(line: string): ParsedLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { errorReply: errorReply(null, PARSE_ERROR, 'Parse error: the line is not valid JSON') };
  }
  const parsed = JSONRPCMessageSchema.safeParse(value);
  if (parsed.success) return checkInitialize(parsed.data);
  if (Array.isArray(value)) {
    return { errorReply: errorReply(null, INVALID_REQUEST, 'Invalid request: batches are not supported') };
  }
  if (isResponse(value)) return { ignored: 'a response that is not valid JSON-RPC 2.0' };
  const id = idOf(value);
  const wrong = JSONRPCRequestSchema.safeParse(value).error?.issues ?? [];
  if (id !== null && wrong.length > 0 && wrong.every(({ path }) => path[0] === 'params')) {
    return { errorReply: errorReply(id, INVALID_PARAMS, invalidParams(wrong)) };
  }
  return { errorReply: errorReply(id, INVALID_REQUEST, 'Invalid request: not a JSON-RPC 2.0 message') };
}

/** The SDK reports invalid parameters of this one request as an internal error. */
function checkInitialize(message: JSONRPCMessage): ParsedLine {
  if (!('method' in message && 'id' in message) || message.method !== 'initialize') return { message };
  const { error } = InitializeRequestSchema.safeParse(message);
  if (error === undefined) return { message };
  return { errorReply: errorReply(message.id, INVALID_PARAMS, invalidParams(error.issues)) };
}

/** Names the first wrong parameter. */
function invalidParams([issue]: readonly z.core.$ZodIssue[]): string {
  const name = issue?.path.join('.');
  return name === 'params._meta.progressToken'
    ? `Invalid params: ${name} must be a string or an integer`
    : `Invalid params: ${name}: ${issue?.message}`;
}

/** The reply to a line that exceeded the size limit. */
export function tooLongReply(limitBytes: number): ErrorReply {
  return errorReply(
    null,
    INVALID_REQUEST,
    `Invalid request: the message exceeds the limit of ${limitBytes} bytes`,
  );
}

function errorReply(id: string | number | null, code: number, message: string): ErrorReply {
  return { jsonrpc: '2.0', id, error: { code, message } };
}

/** Replying to an invalid reply could loop forever. */
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

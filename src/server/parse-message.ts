/**
 * JSON-RPC messages, which are the same in all revisions of the protocol. The schemas are our own: those of a
 * revision's library would load the library.
 */
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
const INVALID_PARAMS = -32602;

const id = z.union([z.string(), z.int()]);
const jsonrpc = z.literal('2.0');
const params = z
  .looseObject({ _meta: z.looseObject({ progressToken: id.optional() }).optional() })
  .optional();
const JsonRpcRequest = z.strictObject({ jsonrpc, id, method: z.string(), params });
const JsonRpcNotification = z.strictObject({ jsonrpc, method: z.string(), params });
const JsonRpcResult = z.strictObject({ jsonrpc, id, result: z.looseObject({}) });
const JsonRpcError = z.strictObject({
  jsonrpc,
  id: id.optional(),
  error: z.object({ code: z.int(), message: z.string(), data: z.unknown().optional() }),
});
const JsonRpcMessage = z.union([JsonRpcRequest, JsonRpcNotification, JsonRpcResult, JsonRpcError]);

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
  const parsed = JsonRpcMessage.safeParse(value);
  if (parsed.success) return { message: parsed.data };
  if (Array.isArray(value)) {
    return { errorReply: errorReply(null, INVALID_REQUEST, 'Invalid request: batches are not supported') };
  }
  if (isResponse(value)) return { ignored: 'a response that is not valid JSON-RPC 2.0' };
  const givenId = idOf(value);
  const wrong = JsonRpcRequest.safeParse(value).error?.issues ?? [];
  if (givenId !== null && wrong.length > 0 && wrong.every(({ path }) => path[0] === 'params')) {
    return { errorReply: invalidParamsReply(givenId, wrong) };
  }
  return { errorReply: errorReply(givenId, INVALID_REQUEST, 'Invalid request: not a JSON-RPC 2.0 message') };
}

/** The reply to a request with wrong parameters; names the first one. `id` is null for a notification. */
export function invalidParamsReply(
  id: string | number | null,
  issues: readonly z.core.$ZodIssue[],
): ErrorReply {
  return errorReply(id, INVALID_PARAMS, invalidParams(issues));
}

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
  const given: unknown = isObject(value) ? Reflect.get(value, 'id') : null;
  return id.safeParse(given).data ?? null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** What the revision 2026-07-28 says about itself and its clients, without its library. */
import { MODERN_CAPABILITIES, serverInfo } from './server-info.ts';

export const REVISION = '2026-07-28';

const PROTOCOL_VERSION = 'io.modelcontextprotocol/protocolVersion';
const CLIENT_INFO = 'io.modelcontextprotocol/clientInfo';
const CLIENT_CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';
const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';

/** The tools and instructions change only with the server, and are the same for every caller. */
export const CACHING = { ttlMs: 3_600_000, cacheScope: 'public' } as const;

/**
 * The protocol's eras: `legacy` begins with `initialize`; in `modern` each request names its revision in
 * `_meta`. The names are those of the protocol's libraries.
 */
export type Era = 'legacy' | 'modern';

/** The era of a conversation, by its first message. */
export function eraOf(message: object): Era {
  const meta = metaOf('params' in message ? message.params : undefined);
  return meta !== null && PROTOCOL_VERSION in meta ? 'modern' : 'legacy';
}

/** The result of `server/discover`, as JSON. */
export function discoverResult(version: string, instructions: string): string {
  return completeResult(
    { supportedVersions: [REVISION], capabilities: MODERN_CAPABILITIES, instructions },
    version,
  );
}

/** A result that may be cached, as JSON. */
export function completeResult(result: object, version: string): string {
  return JSON.stringify({
    ...result,
    resultType: 'complete',
    ...CACHING,
    _meta: { [SERVER_INFO]: serverInfo(version) },
  });
}

/** Whether these are the parameters of a request without arguments, in the usual shape. */
export function isPlainEnvelope(params: unknown): boolean {
  const meta = metaOf(params);
  if (meta === null || !isObject(params) || !hasOnly(params, ['_meta'])) return false;
  if (!hasOnly(meta, [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES])) return false;
  const client = meta[CLIENT_INFO];
  return (
    meta[PROTOCOL_VERSION] === REVISION &&
    (client === undefined || isPlainClient(client)) &&
    isPlainCapabilities(meta[CLIENT_CAPABILITIES])
  );
}

/** An `Implementation` of the protocol of the usual shape. */
export function isPlainClient(value: unknown): value is { name: string; version: string } {
  const fields = ['name', 'version', 'title', 'description', 'websiteUrl'];
  if (!isObject(value) || !hasOnly(value, fields)) return false;
  const { name, version } = value;
  return [name, version, ...Object.values(value)].every((text) => typeof text === 'string');
}

/** Capabilities of the usual shape, in any revision; others are checked by the server. */
export function isPlainCapabilities(value: unknown): boolean {
  const fields = ['roots', 'sampling', 'elicitation', 'extensions', 'experimental'];
  if (!isObject(value) || !hasOnly(value, fields)) return false;
  const { roots = {}, sampling = {}, elicitation = {}, extensions = {}, experimental = {} } = value;
  return (
    isObject(roots) &&
    hasOnly(roots, ['listChanged']) &&
    ['undefined', 'boolean'].includes(typeof roots['listChanged']) &&
    isEmpty(sampling) &&
    isObject(elicitation) &&
    hasOnly(elicitation, ['form', 'url']) &&
    Object.values(elicitation).every(isEmpty) &&
    [extensions, experimental].every((named) => isObject(named) && Object.values(named).every(isEmpty))
  );
}

function metaOf(params: unknown): Record<string, unknown> | null {
  const meta = isObject(params) ? params['_meta'] : null;
  return isObject(meta) ? meta : null;
}

export function isEmpty(value: unknown): boolean {
  return value === undefined || (isObject(value) && hasOnly(value, []));
}

export function hasOnly(object: Record<string, unknown>, keys: readonly string[]): boolean {
  return Object.keys(object).every((key) => keys.includes(key));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

import type { Tool } from '../../../../tools/common/tool.ts';
import type { Config } from '../../../config/config.ts';

/** What access tokens can allow. Reading is part of writing. */
const SCOPES = ['sandbox:read', 'sandbox:write', 'sandbox:cloud'] as const;
export type Scope = (typeof SCOPES)[number];

/** What every request needs. */
const BASE_SCOPE: Scope = 'sandbox:read';

type ScopeConfig = Pick<Config, 'engine' | 'readOnly'>;

/** Methods that change something without calling a tool. */
const CHANGES = ['tasks/cancel', 'tasks/update'] as const;

/**
 * What the first token should allow: all that this server's tools need. Less would not do, since clients
 * register with the scopes that they are asked for first, and authorization servers hold them to these.
 */
export function offeredScopes(tools: readonly Tool[], config: ScopeConfig): readonly Scope[] {
  const needed = new Set([BASE_SCOPE, ...tools.flatMap((tool) => scopesOfTool(tool, config))]);
  return SCOPES.filter((scope) => needed.has(scope));
}

/** The scopes that a message needs. */
export function scopesFor(
  message: object,
  tools: ReadonlyMap<string, Tool>,
  config: ScopeConfig,
): readonly Scope[] {
  const tool = calledTool(message, tools);
  if (tool !== undefined) return scopesOfTool(tool, config);
  const method = 'method' in message && typeof message.method === 'string' ? message.method : '';
  const needed: Scope = CHANGES.some((each) => each === method) ? 'sandbox:write' : BASE_SCOPE;
  // A task is a command or a sandbox, and its result that of a tool.
  const isCloud = config.engine === 'vercel' && method.startsWith('tasks/');
  return isCloud ? [needed, 'sandbox:cloud'] : [needed];
}

/**
 * Tools that only read need `sandbox:read`, others `sandbox:write`, and all of them also `sandbox:cloud` if
 * sandboxes run in the cloud. There, `sandbox_get` resumes a stopped sandbox unless the server only reads.
 */
function scopesOfTool(tool: Tool, { engine, readOnly }: ScopeConfig): Scope[] {
  const isCloud = engine === 'vercel';
  const resumes = isCloud && !readOnly && tool.name === 'sandbox_get';
  const reads = tool.annotations.readOnlyHint && !resumes;
  const needed: Scope[] = [reads ? 'sandbox:read' : 'sandbox:write'];
  return isCloud ? [...needed, 'sandbox:cloud'] : needed;
}

/**
 * The scopes to request when `granted` do not suffice for `needed`: both, since a client replaces its token.
 * Null if they suffice.
 */
export function missingScopes(
  granted: ReadonlySet<string>,
  needed: readonly Scope[],
): readonly Scope[] | null {
  const allows = (scope: Scope) =>
    granted.has(scope) || (scope === 'sandbox:read' && granted.has('sandbox:write'));
  if (needed.every(allows)) return null;
  return SCOPES.filter((scope) => granted.has(scope) || needed.includes(scope));
}

/** Undefined for anything but the call of a known tool; an unknown one runs nothing. */
function calledTool(message: object, tools: ReadonlyMap<string, Tool>): Tool | undefined {
  if (!('method' in message) || message.method !== 'tools/call' || !('params' in message)) return undefined;
  const { params } = message;
  if (typeof params !== 'object' || params === null || !('name' in params)) return undefined;
  return typeof params.name === 'string' ? tools.get(params.name) : undefined;
}

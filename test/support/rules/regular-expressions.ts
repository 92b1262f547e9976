/** Finds the regular expressions of TypeScript sources, and those that can take more than linear time. */
import { transformSync } from 'esbuild';
import { checkSync } from 'recheck';
import { parseAst } from 'vitest/node';
import type { SourceFile } from './architecture.ts';

export interface FoundExpression {
  readonly path: string;
  /** The source text, for messages. */
  readonly text: string;
  /** Null if the test cannot compute the pattern of `new RegExp(…)`. */
  readonly pattern: { readonly source: string; readonly flags: string } | null;
}

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/**
 * Every regular expression literal and `RegExp(…)` call; templates are filled in from the constants of the
 * same file.
 */
export function regularExpressions({ path, text }: SourceFile): FoundExpression[] {
  const { code } = transformSync(text, { loader: 'ts', target: 'es2023' });
  const nodes = allNodes(parseAst(code));
  const constants = new Map<string, Node>();
  for (const { type, id, init } of nodes) {
    if (type === 'VariableDeclarator' && isNode(id) && isNode(init) && typeof id['name'] === 'string')
      constants.set(id['name'], init);
  }
  return nodes.flatMap((node): FoundExpression[] => {
    const literal = literalOf(node);
    if (literal !== null) return [{ path, text: `/${literal.source}/${literal.flags}`, pattern: literal }];
    const { callee, arguments: args } = node;
    if (!isNode(callee) || callee['name'] !== 'RegExp' || !Array.isArray(args)) return [];
    const [source = null, flags = ''] = args.map((arg) => textOf(arg, constants));
    const shown = code.slice(Number(node['start']), Number(node['end']));
    const pattern = source === null || flags === null ? null : { source, flags };
    return [{ path, text: shown, pattern }];
  });
}

/** A sentence on each expression that can take more than linear time, or that is built at run time. */
export function slowExpressions(found: readonly FoundExpression[]): string[] {
  return found.flatMap(({ path, text, pattern }) => {
    if (pattern === null) return [`${path}: ${text}: built at run time`];
    const result = checkSync(pattern.source, pattern.flags, { checker: 'automaton', timeout: 20_000 });
    if (result.status === 'safe') return [];
    const problem =
      result.status === 'unknown' ? `not checked (${result.error.kind})` : result.complexity.summary;
    return [`${path}: ${text}: ${problem}`];
  });
}

function literalOf({ type, regex }: Node): { source: string; flags: string } | null {
  if (type !== 'Literal' || typeof regex !== 'object' || regex === null) return null;
  if (!('pattern' in regex) || !('flags' in regex)) return null;
  return { source: String(regex.pattern), flags: String(regex.flags) };
}

/** The text of a constant expression; null if it is not constant. */
function textOf(node: unknown, constants: ReadonlyMap<string, Node>): string | null {
  if (!isNode(node)) return null;
  const { value, name, object, property, quasis, expressions } = node;
  if (node.type === 'Literal')
    return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  if (node.type === 'Identifier') return textOf(constants.get(String(name)), constants);
  if (node.type === 'MemberExpression' && isNode(property) && property['name'] === 'source') {
    const owner = isNode(object) ? constants.get(String(object['name'])) : undefined;
    return owner === undefined ? null : (literalOf(owner)?.source ?? null);
  }
  if (node.type !== 'TemplateLiteral' || !Array.isArray(quasis) || !Array.isArray(expressions)) return null;
  const parts = expressions.map((expression) => textOf(expression, constants));
  if (parts.includes(null)) return null;
  return quasis.map((quasi, index) => cooked(quasi) + (parts[index] ?? '')).join('');
}

function cooked(quasi: unknown): string {
  const value: unknown = isNode(quasi) ? quasi['value'] : null;
  return typeof value === 'object' && value !== null && 'cooked' in value ? String(value.cooked) : '';
}

function allNodes(root: unknown): Node[] {
  const found: Node[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
    } else if (isNode(value)) {
      found.push(value);
      for (const child of Object.values(value)) visit(child);
    }
  };
  visit(root);
  return found;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

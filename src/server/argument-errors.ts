import type { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { closestNames } from './closest-names.ts';

type Issue = z.core.$ZodIssue;

const MAX_PROBLEMS = 3;
const MAX_SHOWN_VALUE = 80;
/** Values under these names are never repeated, in a result or in a log. */
const SECRET_NAMES = new Set(['password', 'username', 'headers', 'env']);

/** One error for all problems of the arguments; each problem is a sentence that names the value. */
export function argumentError(
  tool: { name: string; input: z.ZodObject },
  args: unknown,
  error: z.ZodError,
): SandboxError {
  const problems = error.issues.slice(0, MAX_PROBLEMS).map((issue) => sentence(issue, tool.input, args));
  const more = error.issues.length - problems.length;
  if (more > 0) problems.push(`There are ${more} more problems.`);
  return new SandboxError('invalid_argument', problems.join(' '), {
    hint: `Correct the arguments of ${tool.name} and call it again; nothing was changed.`,
    details: { tool: tool.name, valid_arguments: Object.keys(tool.input.shape) },
  });
}

function sentence(issue: Issue, schema: z.ZodObject, args: unknown): string {
  // A problem with the arguments as a whole has a complete message.
  if (issue.code === 'custom' && issue.path.length === 0) return issue.message;
  const where = pathText(issue.path);
  const value = valueAt(args, issue.path);
  if (issue.code === 'unrecognized_keys')
    return unknownKeys(issue.keys, where, validKeys(schema, issue.path));
  if (value === undefined && issue.code !== 'custom')
    return `\`${where}\` is required: ${expectation(issue)}.`;
  const shown = issue.path.some((key) => SECRET_NAMES.has(String(key))) ? '' : `, not ${abbreviate(value)}`;
  return `\`${where}\` must be ${expectation(issue)}${shown}.`;
}

function unknownKeys(keys: readonly string[], where: string, valid: readonly string[]): string {
  const named = keys.slice(0, MAX_PROBLEMS).map((key) => abbreviate(key));
  const owner = where === 'arguments' ? '' : ` in \`${where}\``;
  const near = [
    ...new Set(keys.slice(0, MAX_PROBLEMS).flatMap((key) => closestNames(key, valid).slice(0, 1))),
  ];
  const suggestion = near.length === 0 ? '' : ` Did you mean ${near.join(', ')}?`;
  // An object with free-form names, such as env, has no list of valid ones.
  const list = owner !== '' && valid.length === 0 ? '' : `; valid ones: ${valid.join(', ') || 'none'}`;
  return `Unknown argument ${named.join(', ')}${owner}${list}.${suggestion}`;
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'int' ? 'a whole number' : article(issue.expected);
    case 'invalid_value':
      return `one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_small':
      return `${issue.origin === 'array' ? 'a list of ' : ''}at least ${issue.minimum}${unit(issue.origin)}`;
    case 'too_big':
      return `${issue.origin === 'array' ? 'a list of ' : ''}at most ${issue.maximum}${unit(issue.origin)}`;
    case 'invalid_union':
      return unionText(issue.errors);
    default:
      return issue.message;
  }
}

function unionText(options: readonly (readonly Issue[])[]): string {
  return options.flatMap(([first]) => (first === undefined ? [] : [expectation(first)])).join(' or ');
}

function unit(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}

function article(type: string): string {
  const noun = type === 'record' ? 'object' : type === 'array' ? 'list' : type;
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += `${text === '' ? '' : '.'}${abbreviate(String(key)).slice(1, -1)}`;
  }
  return text === '' ? 'arguments' : text;
}

function valueAt(args: unknown, path: readonly PropertyKey[]): unknown {
  let value = args;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

/** The valid keys of the object at `path`; those of the arguments themselves if the path leads elsewhere. */
function validKeys(schema: z.ZodObject, path: readonly PropertyKey[]): string[] {
  let node: unknown = schema;
  for (const key of path) node = typeof key === 'number' ? member(node, 'element') : property(node, key);
  const shape = member(unwrap(node), 'shape');
  return typeof shape === 'object' && shape !== null ? Object.keys(shape) : [];
}

function property(node: unknown, key: PropertyKey): unknown {
  return member(member(unwrap(node), 'shape'), key);
}

/** Unwraps optional and default schemas. */
function unwrap(node: unknown): unknown {
  const inner = member(member(node, 'def'), 'innerType');
  return inner === undefined ? node : unwrap(inner);
}

function member(node: unknown, key: PropertyKey): unknown {
  const owner = key === 'element' ? unwrap(node) : node;
  return typeof owner === 'object' && owner !== null ? Reflect.get(owner, key) : undefined;
}

function abbreviate(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, MAX_SHOWN_VALUE)) : shape(value);
  return typeof value === 'string' && value.length > MAX_SHOWN_VALUE ? `${text.slice(0, -1)}…"` : text;
}

function shape(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

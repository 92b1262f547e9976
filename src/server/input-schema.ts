import { z } from 'zod';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An object schema as listed by `tools/list`. */
export interface ObjectSchema {
  type: 'object';
  [key: string]: unknown;
}

/**
 * The JSON Schema of a tool's arguments for clients. Generated keywords without information for the reader
 * are removed, since a model pays for each. What is rejected stays the same.
 */
export function inputSchema(schema: z.ZodObject): ObjectSchema {
  return {
    ...compactObject(z.toJSONSchema(schema, { io: 'input' })),
    type: 'object',
    additionalProperties: false,
  };
}

/**
 * The same for results, which may gain fields. Without `required`: every field of a result is always present
 * and may be null, and repeating that for every tool would cost a tenth of the list.
 */
export function outputSchema(schema: z.ZodObject): ObjectSchema {
  const generated = z.toJSONSchema(schema, {
    io: 'output',
    override: ({ jsonSchema }) => void delete jsonSchema.required,
  });
  return { ...compactObject(generated), type: 'object' };
}

function compactObject(generated: unknown): Record<string, Json> {
  const compacted = compact(toJson(generated));
  return isObject(compacted) ? compacted : {};
}

/** Removes what JSON Schema cannot express and simplifies the type. */
function toJson(value: unknown): Json {
  const parsed: Json = JSON.parse(JSON.stringify(value));
  return parsed;
}

function compact(node: Json): Json {
  if (Array.isArray(node)) return node.map(compact);
  if (!isObject(node)) return node;
  const result: Record<string, Json> = {};
  for (const [key, value] of Object.entries(node)) {
    // The names below `properties` are arguments, not keywords.
    if (key === 'properties' && isObject(value)) Object.assign(result, listed(shown(value)));
    else if (!isNoise(key, value) && !isImplied(key, value, node)) result[key] = compact(value);
  }
  return mergeNullable(result);
}

/** Nothing for an object whose fields its description lists. */
function listed(properties: Record<string, Json>): Record<string, Json> {
  return Object.keys(properties).length === 0 ? {} : { properties: mapValues(properties, compact) };
}

/** Without what another tool, or a description, lists. */
function shown(properties: Record<string, Json>): Record<string, Json> {
  const entries = Object.entries(properties);
  return Object.fromEntries(entries.filter(([, value]) => !isObject(value) || value['hidden'] !== true));
}

function isNoise(key: string, value: Json): boolean {
  if (key === '$schema') return true;
  // It is obvious that a size or a duration is not negative, and that a given text or list is not empty.
  // Other bounds are told by the error for what is beyond them, and in words where they matter.
  if (['minimum', 'maximum', 'minItems', 'maxItems', 'minLength'].includes(key)) return true;
  // Every property name is a string, and a missing schema allows any value.
  if (key === 'propertyNames') return isObject(value) && Object.keys(value).join() === 'type';
  // Stated once, at the root.
  return (
    key === 'additionalProperties' &&
    (value === false || (isObject(value) && Object.keys(value).length === 0))
  );
}

/** What is not given is off, empty or nothing, or the first of several values; or a description tells it. */
function isImplied(key: string, value: Json, node: Record<string, Json>): boolean {
  // The description that lists the fields tells which are needed.
  if (key === 'required' && isObject(node['properties'] ?? null))
    return Object.keys(shown(Object(node['properties']))).length === 0;
  if (key !== 'default') return false;
  if (value === false || value === 0 || (Array.isArray(value) && value.length === 0)) return true;
  const values = node['enum'];
  return Array.isArray(values) && values[0] === value;
}

/** `anyOf: [{type: integer}, {type: null}]` is equivalent to `type: [integer, null]`. */
function mergeNullable(node: Record<string, Json>): Record<string, Json> {
  const { anyOf, ...rest } = node;
  if (!Array.isArray(anyOf) || rest['type'] !== undefined) return node;
  const types: Json[] = [];
  let facts: Record<string, Json> = {};
  for (const option of anyOf) {
    if (!isObject(option) || typeof option['type'] !== 'string') return node;
    const { type, ...others } = option;
    if (
      Object.keys(others).length > 0 &&
      (type === 'null' || Object.keys(facts).length > 0 || 'enum' in others)
    ) {
      return node;
    }
    if (Object.keys(others).length > 0) facts = others;
    types.push(type ?? null);
  }
  return { type: types, ...facts, ...rest };
}

function mapValues(object: Record<string, Json>, map: (value: Json) => Json): Record<string, Json> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

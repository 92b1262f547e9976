/** Describes a JSON Schema for a reference page. */

/** One parameter, or one field of a parameter that is an object (`source.url`, `files[].path`). */
export interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly default: string;
  readonly description: string;
}

type Schema = Readonly<Record<string, unknown>>;

/** The parameters of an object schema in order; fields of an object follow the object itself. */
export function parametersOf(schema: Schema, prefix = ''): Parameter[] {
  const required = listOf(schema['required']);
  return Object.entries(schemaOf(schema['properties'])).flatMap(([key, value]) => {
    const property = schemaOf(value);
    const name = `${prefix}${key}`;
    const parameter: Parameter = {
      name,
      type: typeOf(property),
      required: required.includes(key),
      default: property['default'] === undefined ? '' : `\`${JSON.stringify(property['default'])}\``,
      description: typeof property['description'] === 'string' ? property['description'] : '',
    };
    return [parameter, ...fieldsOf(property, name)];
  });
}

function fieldsOf(property: Schema, name: string): Parameter[] {
  if (property['properties'] !== undefined) return parametersOf(property, `${name}.`);
  const items = schemaOf(property['items']);
  return items['properties'] === undefined ? [] : parametersOf(items, `${name}[].`);
}

function typeOf(schema: Schema): string {
  const choices = listOf(schema['enum']);
  if (choices.length > 0) return choices.map((choice) => `\`${JSON.stringify(choice)}\``).join(', ');
  const options = listOf(schema['anyOf']).map(schemaOf);
  if (options.length > 0) return options.map(typeOf).join(' or ');
  if (schema['type'] === 'array') return `list of ${typeOf(schemaOf(schema['items']))}`;
  const values = schema['additionalProperties'];
  if (schema['type'] === 'object' && typeof values === 'object') {
    return `object of ${typeOf(schemaOf(values))}`;
  }
  const types = Array.isArray(schema['type']) ? schema['type'] : [schema['type'] ?? 'anything'];
  return types.map(String).join(' or ') + bounds(schema);
}

function bounds(schema: Schema): string {
  const from = boundOf(schema['minimum']);
  const to = boundOf(schema['maximum']);
  if (from !== null && to !== null) return `, ${from} to ${to}`;
  if (from !== null) return `, from ${from}`;
  if (to !== null) return `, to ${to}`;
  return typeof schema['pattern'] === 'string' ? `, \`${schema['pattern']}\`` : '';
}

/** The limits of safe integers, which every integer has, tell a reader nothing. */
function boundOf(value: unknown): number | null {
  return typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : null;
}

function schemaOf(value: unknown): Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

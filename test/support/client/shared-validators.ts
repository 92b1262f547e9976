import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv';
import type {
  JsonSchemaType,
  JsonSchemaValidator,
  jsonSchemaValidator,
} from '@modelcontextprotocol/sdk/validation/types.js';

const compiler = new AjvJsonSchemaValidator();
const known = new Map<string, JsonSchemaType>();

/**
 * The SDK's own validators of answers, compiled once for all clients of this process: each new client would
 * otherwise compile the output schemas of every tool, which takes a quarter of a second.
 */
export const SHARED_VALIDATORS: jsonSchemaValidator = {
  getValidator<T>(schema: JsonSchemaType): JsonSchemaValidator<T> {
    const text = JSON.stringify(schema);
    // The compiler recognizes a schema by the object's identity.
    const same = known.get(text) ?? schema;
    known.set(text, same);
    return compiler.getValidator<T>(same);
  },
};

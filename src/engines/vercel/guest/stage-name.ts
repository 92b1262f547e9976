import { randomBytes } from 'node:crypto';

/**
 * A path in the sandbox, or a prefix for several, for files that are staged until they are moved into place.
 */
export function stageName(): string {
  return `/tmp/.sandbox-mcp-${randomBytes(8).toString('hex')}`;
}

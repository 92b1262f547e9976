import { z } from 'zod';
import type { SandboxSource } from '../../src/engines/engine.ts';
import { SandboxError } from '../../src/shared/errors.ts';

const TYPES = ['git', 'tarball', 'snapshot'] as const;

/** The fields of each type, besides `type`. */
const FIELDS: Record<SandboxSource['type'], readonly string[]> = {
  git: ['url', 'revision', 'depth', 'username', 'password'],
  tarball: ['url'],
  snapshot: ['snapshot_id'],
};

/** One flat object, because models often get unions wrong. */
export const source = z.strictObject({
  type: z.enum(TYPES),
  url: z.string().optional(),
  revision: z.string().optional(),
  depth: z.int().min(1).optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  snapshot_id: z.string().optional(),
});

/**
 * The source that the arguments name.
 *
 * @throws `invalid_argument` for a field that is missing or belongs to another type
 */
export function toSource(given: z.output<typeof source>): SandboxSource {
  const stray = Object.keys(given).find((name) => name !== 'type' && !FIELDS[given.type].includes(name));
  if (stray !== undefined) throw wrongField(given.type, `\`source.${stray}\` is not a field of it`);
  if (given.type === 'snapshot') {
    if (given.snapshot_id === undefined) throw wrongField(given.type, '`source.snapshot_id` is required');
    return { type: given.type, snapshotId: given.snapshot_id };
  }
  if (given.url === undefined) throw wrongField(given.type, '`source.url` is required');
  if (given.type === 'tarball') return { type: given.type, url: given.url };
  const { url, revision, depth, username, password } = given;
  return { type: given.type, url, revision, depth, username, password };
}

function wrongField(type: SandboxSource['type'], problem: string): SandboxError {
  return new SandboxError('invalid_argument', `With \`source.type\` "${type}", ${problem}.`, {
    hint: `Fields: ${FIELDS[type].join(', ')}. Fix the source and call sandbox_create again.`,
  });
}

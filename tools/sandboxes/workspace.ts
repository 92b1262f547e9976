import { posix } from 'node:path';
import { z } from 'zod';
import type { Config } from '../../src/config/config.ts';
import type { WorkspaceRequest } from '../../src/engines/engine.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { localPath, path } from '../common/schemas.ts';
import { existingLocalPath } from '../transfers/local-path.ts';

const DEFAULT_PATH = '/vercel/sandbox';

/** The argument of `sandbox_create`. */
export const workspace = z.strictObject({
  local_path: localPath,
  path: path.optional(),
  mode: z.enum(['copy-on-write', 'read-only', 'live']).optional(),
});

/**
 * The workspace that the arguments name.
 *
 * @throws `permission` or `not_found` for the folder, `invalid_argument` for the rest
 */
export async function toWorkspace(
  given: z.output<typeof workspace>,
  sourceType: string | undefined,
  config: Config,
): Promise<WorkspaceRequest> {
  if (sourceType === 'git' || sourceType === 'tarball') {
    throw new SandboxError(
      'invalid_argument',
      `\`workspace\` and a ${sourceType} source exclude each other.`,
      {
        hint: 'Call sandbox_create with one of them; a snapshot may be combined with a workspace.',
      },
    );
  }
  if (given.mode === 'live' && !config.allowLive) {
    throw new SandboxError('permission', 'This server does not allow live workspaces.', {
      hint: 'Use copy-on-write, then sandbox_apply_changes. The operator allows live ones with --allow-live.',
    });
  }
  const place = posix.resolve(DEFAULT_PATH, given.path ?? '.');
  if (place !== DEFAULT_PATH && !/^\/(vercel\/sandbox|home)\/./.test(place)) {
    throw new SandboxError('invalid_argument', `workspace.path ${JSON.stringify(place)} cannot be used.`, {
      hint: `Use ${DEFAULT_PATH}, which is the default, or a folder below it or below /home.`,
      details: { path: place },
    });
  }
  return {
    localPath: await existingLocalPath(given.local_path, config),
    path: place,
    mode: given.mode ?? 'copy-on-write',
  };
}

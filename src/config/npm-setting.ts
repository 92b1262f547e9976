/**
 * The npm registry according to npm's own settings: the Node releases for sandboxes are downloaded from it.
 */
import { dirname, join } from 'node:path';

/** npm's settings as found in the environment. The files are read when a release is downloaded. */
export interface NpmSetting {
  /** From `npm_config_registry`; wins over the files. */
  readonly registry: string | null;
  /** From `npm_config_cafile`; wins over the files. */
  readonly caFile: string | null;
  /**
   * Configuration files in order of precedence: the user's, then the global one. A project's own is not read.
   */
  readonly files: readonly string[];
}

/** npm accepts its variables in upper and lower case, and treats an empty one as unset. */
function variable(env: Readonly<Record<string, string | undefined>>, name: string): string | null {
  return env[`npm_config_${name}`] || env[`NPM_CONFIG_${name.toUpperCase()}`] || null;
}

/**
 * @param homeDir null if this user has none
 * @param execPath of Node; npm's global configuration is relative to it
 */
export function npmSetting(
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string | null,
  execPath: string,
): NpmSetting {
  const user = variable(env, 'userconfig') ?? (homeDir === null ? null : join(homeDir, '.npmrc'));
  const prefix = variable(env, 'prefix') ?? dirname(dirname(execPath));
  const global = variable(env, 'globalconfig') ?? join(prefix, 'etc', 'npmrc');
  return {
    registry: variable(env, 'registry'),
    caFile: variable(env, 'cafile'),
    files: user === null ? [global] : [user, global],
  };
}

/** Where npm's registry is, by npm's own settings: from there come the Node releases that sandboxes ask for. */
import { dirname, join } from 'node:path';

/** npm's settings as far as the environment tells them; the files are read when a release is fetched. */
export interface NpmSetting {
  /** By `npm_config_registry`; wins over the files. */
  readonly registry: string | null;
  /** By `npm_config_cafile`; wins over the files. */
  readonly caFile: string | null;
  /** Configuration files, the strongest first: the user's, then the global one. A project's own is not asked. */
  readonly files: readonly string[];
}

/** npm reads its variables in either case, and takes an empty one as unset. */
function variable(env: Readonly<Record<string, string | undefined>>, name: string): string | null {
  return env[`npm_config_${name}`] || env[`NPM_CONFIG_${name.toUpperCase()}`] || null;
}

/**
 * @param homeDir null where this user has none
 * @param execPath of Node, beside which npm keeps its global configuration
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

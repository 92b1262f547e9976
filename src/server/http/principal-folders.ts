import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';

/**
 * The configuration for one principal: below each folder of `--allow-dir` it may use one of its own, which is
 * created if it is missing.
 *
 * @param principal names the folder; the configuration accepts only names without separators
 */
export function configOf(config: Config, principal: string): Config {
  const ownFolder = (folder: string): string => {
    const path = join(folder, principal);
    mkdirSync(path, { mode: 0o700, recursive: true });
    return realpathSync(path);
  };
  return Object.freeze({ ...config, allowDirs: config.allowDirs.map(ownFolder) });
}

import { realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigError, type Setting } from './setting.ts';

/** The folders of `--allow-dir` and, on stdio, the working directory, symlinks resolved. */
export function allowDirs(given: Setting[], cwd: string | null, transport: 'stdio' | 'http'): string[] {
  const named = given.map((setting) => existingDirectory(setting, resolve(cwd ?? '/', setting.value)));
  // Desktop clients start servers in `/`, without intending to expose the whole file system.
  const hasNone = transport === 'http' || cwd === null || cwd === resolve('/');
  const working = hasNone ? [] : [realpathSync(cwd)];
  return [...new Set([...working, ...named])];
}

function existingDirectory(setting: Setting, path: string): string {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    throw new ConfigError(setting, 'does not exist or is not accessible; use an existing directory.');
  }
  if (statSync(real).isDirectory()) return real;
  throw new ConfigError(setting, 'is not a directory; use an existing directory.');
}

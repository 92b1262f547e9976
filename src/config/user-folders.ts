import { isAbsolute, join } from 'node:path';

/** Where programs of this user keep their settings. All absolute. */
export interface UserFolders {
  readonly home: string;
  /** `XDG_CONFIG_HOME`, or `~/.config`. */
  readonly config: string;
  /** `APPDATA` on Windows. */
  readonly appData: string;
  /** `CODEX_HOME`, or `~/.codex`. */
  readonly codex: string;
}

/** Null for a user without a home directory. */
export function userFolders(
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string | null,
): UserFolders | null {
  if (homeDir === null) return null;
  const folder = (name: string, fallback: string): string => {
    const given = env[name];
    return given !== undefined && isAbsolute(given) ? given : join(homeDir, fallback);
  };
  return {
    home: homeDir,
    config: folder('XDG_CONFIG_HOME', '.config'),
    appData: folder('APPDATA', 'AppData/Roaming'),
    codex: folder('CODEX_HOME', '.codex'),
  };
}

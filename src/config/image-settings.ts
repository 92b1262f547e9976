/** Which images agents may name, and how their registries are reached. */
import { join } from 'node:path';
import { ConfigError, type Setting } from './setting.ts';

export interface ImageSettings {
  /** What agents may name; null: every image of a public registry. */
  readonly allowed: readonly string[] | null;
  /** The operator's images for the names of runtimes. */
  readonly runtimeImages: ReadonlyMap<string, string>;
  /** Base addresses to try before a registry's own, by registry. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  /** Registries that are reached over plain HTTP. */
  readonly insecure: readonly string[];
  /** Where Docker, Podman, buildah and skopeo keep credentials, highest precedence first. */
  readonly credentialFiles: readonly string[];
}

/** `host` means the host's files; a record of `probe` is an engine's trial sandbox. */
const RESERVED_RUNTIMES = ['host', 'probe'];

type ImageFlag = 'images' | 'runtime-image' | 'registry-mirror' | 'insecure-registry';

/**
 * @param all the values of a flag, in order
 * @param homeDir null if this user has none
 * @throws ConfigError
 */
export function imageSettings(
  all: (flag: ImageFlag) => readonly Setting[],
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string | null,
): ImageSettings {
  const images = all('images');
  const allowed = images.flatMap((setting) => setting.value.split(',').map((text) => text.trim()));
  const mirrors = new Map<string, string[]>();
  for (const setting of all('registry-mirror')) {
    const [registry, base] = pair(setting, 'REGISTRY=ADDRESS');
    if (!URL.canParse(base) || !/^https?:\/\//.test(base)) {
      throw new ConfigError(setting, 'is not a mirror; use REGISTRY=ADDRESS with an http or https address.');
    }
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), base]);
  }
  return {
    allowed: images.length === 0 ? null : allowed.filter((text) => text !== ''),
    runtimeImages: new Map(all('runtime-image').map(runtimeImage)),
    mirrors,
    insecure: all('insecure-registry').map(registry),
    credentialFiles: credentialFiles(env, homeDir),
  };
}

function pair(setting: Setting, form: string): [string, string] {
  const at = setting.value.indexOf('=');
  const [left, right] = [setting.value.slice(0, Math.max(at, 0)).trim(), setting.value.slice(at + 1).trim()];
  if (left !== '' && right !== '') return [left, right];
  throw new ConfigError(setting, `is not valid; use ${form}.`);
}

function runtimeImage(setting: Setting): [string, string] {
  const [name, image] = pair(setting, 'NAME=IMAGE');
  // The engine's own sandboxes have names that begin with a dot.
  if (/^[A-Za-z0-9]/.test(name) && !RESERVED_RUNTIMES.includes(name)) return [name, image];
  throw new ConfigError(
    setting,
    `names no runtime; use a name that begins with a letter or digit and is not ${RESERVED_RUNTIMES.join(' or ')}.`,
  );
}

function registry(setting: Setting): string {
  if (/^[A-Za-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-fA-F:]+\](:\d{1,5})?$/.test(setting.value)) return setting.value;
  throw new ConfigError(setting, 'is not a registry; use HOST or HOST:PORT.');
}

/** In the order of containers-auth.json(5), then Docker's. */
function credentialFiles(
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string | null,
): string[] {
  const own = env['REGISTRY_AUTH_FILE'];
  const runtime = env['XDG_RUNTIME_DIR'];
  const config = env['XDG_CONFIG_HOME'] || (homeDir === null ? null : join(homeDir, '.config'));
  const docker = env['DOCKER_CONFIG'] || (homeDir === null ? null : join(homeDir, '.docker'));
  if (own) return [own];
  return [
    ...(runtime ? [join(runtime, 'containers/auth.json')] : []),
    ...(config === null ? [] : [join(config, 'containers/auth.json')]),
    ...(docker === null ? [] : [join(docker, 'config.json')]),
  ];
}

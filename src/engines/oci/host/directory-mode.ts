import type { Host } from './host.ts';

/**
 * Mode of a sandbox's directories. With a root server, the sandbox's root (another uid) must traverse them,
 * but not list them.
 */
export function directoryMode(host: Host): number {
  return host.idMap.kind === 'root' ? 0o711 : 0o700;
}

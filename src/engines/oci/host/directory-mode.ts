import type { Host } from './host.ts';

/**
 * Mode of a sandbox's directories. With a root server, the sandbox's root (another uid) must traverse them,
 * but not list them.
 */
export function directoryMode(host: Pick<Host, 'diskIds'>): number {
  return host.diskIds.kind === 'root' ? 0o711 : 0o700;
}

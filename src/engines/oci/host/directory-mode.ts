import type { Host } from './host.ts';

/** As root the sandbox's root has to pass through the sandbox's directory; it can list nothing of it. */
export function directoryMode(host: Host): number {
  return host.idMap.kind === 'root' ? 0o711 : 0o700;
}

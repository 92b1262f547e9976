/** The verbs for named volumes, which outlive the sandboxes that mount them. */
import type { Volume, Volumes } from '../../engines/engine.ts';
import { formatDuration } from '../../shared/duration.ts';
import { alignColumns } from '../output/table.ts';
import type { Terminal } from '../output/terminal.ts';
import { formatBytes, untilInterrupted, withOwnHints } from './group-verb.ts';

/** Prints all volumes by principal and name. Times are relative to `now` (epoch milliseconds). */
export function listVolumes(
  volumes: Volumes,
  options: { json: boolean },
  now: number,
  terminal: Terminal,
): Promise<number> {
  return withOwnHints(async () => {
    const found = await untilInterrupted((signal) => volumes.list(signal));
    if (options.json) terminal.out(`${JSON.stringify(found.map(jsonOf), null, 2)}\n`);
    else if (found.length === 0) terminal.out('No volumes.\n');
    else {
      const head = ['VOLUME', 'PRINCIPAL', 'SIZE', 'AGE', 'IN USE BY'];
      terminal.out(alignColumns([head, ...found.map((volume) => row(volume, now))]));
    }
    return 0;
  });
}

/** Removes a volume of a principal, unless a live sandbox has it mounted. */
export function removeVolume(
  volumes: Volumes,
  request: { name: string; principal: string },
  terminal: Terminal,
): Promise<number> {
  const { name, principal } = request;
  return withOwnHints(async () => {
    await untilInterrupted((signal) => volumes.remove(principal, name, signal));
    terminal.out(`removed  ${name}\n`);
    return 0;
  });
}

/** Removes every volume that no live sandbox has mounted. */
export function pruneVolumes(volumes: Volumes, terminal: Terminal): Promise<number> {
  return withOwnHints(async () => {
    const removed = await untilInterrupted((signal) => volumes.prune(signal));
    for (const { name, sizeBytes } of removed) terminal.out(`removed  ${name}  ${formatBytes(sizeBytes)}\n`);
    if (removed.length === 0) terminal.out('No unused volumes.\n');
    return 0;
  });
}

function jsonOf({ owner, ...others }: Volume) {
  return { principal: owner, ...others };
}

function row({ name, owner, sizeBytes, createdAt, usedBy }: Volume, now: number): string[] {
  return [name, owner, formatBytes(sizeBytes), formatDuration(now - createdAt), usedBy.join(',') || '-'];
}

/** What a sandbox of the default root file system can be asked to have: the programs of the host's /usr. */
import { SandboxError } from '../../shared/errors.ts';
import { runHostProgram } from './host-program.ts';

/** The root file system of the host, whatever it has. */
const DEFAULT_RUNTIME = 'host';

const PROBES: { path: string; pattern: RegExp; name: string }[] = [
  { path: '/usr/bin/node', pattern: /^v(\d+)\./, name: 'node' },
  { path: '/usr/local/bin/node', pattern: /^v(\d+)\./, name: 'node' },
  { path: '/usr/bin/python3', pattern: /^Python (3\.\d+)/, name: 'python' },
];

let found: Promise<string[]> | null = null;

async function probe(): Promise<string[]> {
  const names = new Set<string>([DEFAULT_RUNTIME]);
  for (const { path, pattern, name } of PROBES) {
    try {
      const match = pattern.exec((await runHostProgram(path, ['--version'])).output);
      if (match) names.add(`${name}${match[1]}`);
    } catch {
      // Not installed: it is simply not among those available.
    }
  }
  return [...names];
}

/** The runtimes that are really there: `host`, and `node20`, `python3.11`, … by the host's versions. */
export function availableRuntimes(): Promise<string[]> {
  found ??= probe();
  return found;
}

/** @throws `invalid_argument` naming those available */
export async function resolveRuntime(wanted: string | null): Promise<string> {
  if (wanted === null || wanted === DEFAULT_RUNTIME) return DEFAULT_RUNTIME;
  const available = await availableRuntimes();
  if (available.includes(wanted)) return wanted;
  throw new SandboxError('invalid_argument', `Runtime "${wanted}" is not available here.`, {
    hint: `Available: ${available.join(', ')}. Leave runtime out to take what the host has.`,
    details: { available },
  });
}

import { environmentName, FLAGS, type FlagName, type ParsedFlags } from './flags.ts';

/** Flags whose values are completely checked when the configuration is read. */
const PLAIN: readonly FlagName[] = [
  'state-dir',
  'oci-runtime',
  'disk-mb',
  'call-timeout',
  'max-lifetime',
  'retention',
  'on-disconnect',
  'warm',
  'allow-dir',
  'allow-live',
  'egress-ech',
  'egress-max-bytes',
  'toolsets',
  'read-only',
  'answers',
  'max-sandboxes',
  'max-running-commands',
  'max-shells',
  'max-vcpus',
  'max-snapshots',
  'trace-file',
  'log-level',
];

/**
 * The flags of a plain command line, `--name value` or `--name=value`, that serves with the default engine.
 * Null for any other, which only the complete parser understands, or may have to reject.
 */
export function plainFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ParsedFlags | null {
  const special = FLAGS.filter(({ name }) => !PLAIN.includes(name));
  if (special.some(({ name }) => (env[environmentName(name)] ?? '') !== '')) return null;
  const given = new Map<FlagName, string[]>();
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, name, inline] = /^--([a-z-]+)(?:=(.+))?$/s.exec(word) ?? [];
    const flag = FLAGS.find((spec) => spec.name === name);
    if (flag === undefined || !PLAIN.includes(flag.name)) return null;
    if (flag.value === null && inline !== undefined) return null;
    const value = flag.value === null ? 'true' : (inline ?? rest.shift() ?? '');
    if (value === '' || value.startsWith('-')) return null;
    given.set(flag.name, [...(given.get(flag.name) ?? []), value]);
  }
  return given;
}

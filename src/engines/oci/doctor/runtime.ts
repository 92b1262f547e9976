import type { Finding } from '../../engine.ts';
import { descriptorLimitHint } from '../container/gvisor.ts';
import type { MountsBy } from '../host/overlay-probe.ts';
import { advise, install, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** One way to run a sandbox that was tried. */
export interface RuntimeTrial {
  readonly name: string;
  readonly version: string;
  readonly cgroups: 'cgroupfs' | 'systemd' | 'none';
  /** Null where a sandbox really ran. */
  readonly error: string | null;
  /** Whether the sandbox that ran had a way out. */
  readonly egress: boolean;
}

/** What came of trying: the trials, or why there could be none. */
export type TrialOutcome =
  | { readonly kind: 'tried'; readonly trials: readonly RuntimeTrial[]; readonly mounts: MountsBy }
  | { readonly kind: 'not_tried'; readonly reason: string };

const LIMITS = {
  cgroupfs: 'limits by cgroup',
  systemd: 'limits by a systemd scope',
  none: 'no cgroup limits',
} as const;

/** Which OCI runtimes are here, and whether one of them ran a sandbox. */
export function runtimeFindings(facts: HostFacts, wanted: string, outcome: TrialOutcome): Finding[] {
  if (outcome.kind === 'not_tried') {
    const none = !facts.programs.has('crun') && !facts.programs.has('runc');
    return wanted === 'auto' && none ? [missing(facts, wanted)] : [];
  }
  if (outcome.trials.length === 0) return [missing(facts, wanted)];
  const working = outcome.trials.find((trial) => trial.error === null);
  if (working !== undefined) {
    return [ok(`${describe(working)} ran a sandbox, ${LIMITS[working.cgroups]}`), networkFinding(working)];
  }
  return outcome.trials.map((trial) =>
    advise(
      'error',
      `${describe(trial)} cannot run a sandbox (${LIMITS[trial.cgroups]})`,
      descriptorLimitHint(trial.name, trial.error) ?? firstLine(trial.error),
    ),
  );
}

/** Whether the sandbox that ran had a way out. */
export function networkFinding({ egress }: Pick<RuntimeTrial, 'egress'>): Finding {
  if (egress) return ok('Sandboxes have a way out, by nf_tables and a gateway of the server');
  return advise(
    'warning',
    'Sandboxes have no network: nf_tables could not be set up in one',
    'Use a kernel with nf_tables, NAT and redirection (modules nf_tables, nft_chain_nat, nft_redir); where the server ' +
      'runs in a container, its host has to have them loaded.',
  );
}

function missing(facts: HostFacts, wanted: string): Finding {
  if (wanted !== 'auto' && wanted !== 'crun' && wanted !== 'runc') {
    return advise(
      'error',
      `The OCI runtime ${wanted} is not installed`,
      'Install it, or leave --oci-runtime out.',
    );
  }
  // crun is the faster one, but knows only unified cgroups.
  const choice = wanted === 'auto' ? (facts.cgroups.layout === 'v2' ? 'crun' : 'runc') : wanted;
  const text =
    wanted === 'auto' ? 'No OCI runtime (crun or runc) is installed' : `${wanted} is not installed`;
  return install('error', text, facts.distro, choice, choice);
}

function describe({ name, version }: RuntimeTrial): string {
  return `${name} ${version}`;
}

function firstLine(text: string | null): string {
  const lines = (text ?? '').split('\n').map((line) => line.trim());
  return `It said: ${(lines.find((line) => line !== '') ?? 'nothing').slice(0, 300)}`;
}

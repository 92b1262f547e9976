import type { Finding } from '../../engine.ts';
import { descriptorLimitHint } from '../container/gvisor.ts';
import type { MountsBy } from '../host/probe/overlay-probe.ts';
import { advise, install, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** One candidate that was tried. */
export interface RuntimeTrial {
  readonly name: string;
  readonly version: string;
  readonly cgroups: 'cgroupfs' | 'systemd' | 'none';
  /** Null if a sandbox ran. */
  readonly error: string | null;
  /** Whether the sandbox had network. */
  readonly egress: boolean;
}

/** The trials, or why there were none. */
export type TrialOutcome =
  | {
      readonly kind: 'tried';
      readonly trials: readonly RuntimeTrial[];
      readonly mounts: MountsBy;
      /** Whether sandboxes have ids of their own on the host. */
      readonly separateIds: boolean;
    }
  | { readonly kind: 'not_tried'; readonly reason: string };

const LIMITS = {
  cgroupfs: 'cgroup limits',
  systemd: 'limits set by a systemd scope',
  none: 'no cgroup limits',
} as const;

/** Which OCI runtimes are installed, and whether one of them ran a sandbox. */
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

/** Whether the sandbox had network. */
export function networkFinding({ egress }: Pick<RuntimeTrial, 'egress'>): Finding {
  if (egress) return ok('Sandboxes have network, through nf_tables and the server’s egress gateway');
  return advise(
    'warning',
    'Sandboxes have no network: setting up nf_tables in one failed',
    'Use a kernel with nf_tables, NAT and redirection (modules nf_tables, nft_chain_nat, nft_redir); if the server ' +
      'runs in a container, load them on its host.',
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
  // crun is faster, but only supports unified cgroups.
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

/** Whether this engine works on this machine, and if not, why. */
import { SandboxError } from '../../../shared/errors.ts';
import type { Diagnosis, Finding } from '../../engine.ts';
import { probeRuntimes } from '../container/runtime-probe.ts';
import { prepareHost } from '../host/host.ts';
import { separatesIds } from '../storage/sandbox-ids.ts';
import { agentFindings } from './agent.ts';
import { cgroupFindings } from './cgroups.ts';
import { deviceFindings } from './devices.ts';
import { advise, ok } from './finding.ts';
import { type HostFacts, readHostFacts } from './host-facts.ts';
import { idFindings } from './ids.ts';
import { mountFindings } from './mounts.ts';
import { namespaceFindings } from './namespaces.ts';
import { runtimeFindings, type TrialOutcome } from './runtime.ts';
import { stateDirFindings } from './state-dir.ts';

export interface DiagnoseOptions {
  readonly stateDir: string;
  /** `auto`, a name or a path. */
  readonly ociRuntime: string;
  /** The agent's executable, as built. */
  readonly agentPath: string;
}

/** Long enough to try every runtime on a loaded machine; after that the trial has failed. */
const TRIAL_TIMEOUT_MS = 300_000;

/**
 * Collects the host facts, tries to run a sandbox with every installed runtime, and evaluates both. Reports
 * obstacles, never rejects on one.
 */
export async function diagnoseOci(options: DiagnoseOptions): Promise<Diagnosis> {
  if (process.platform !== 'linux') return wrongSystem(process.platform);
  const facts = await readHostFacts(options.stateDir, options.agentPath);
  const outcome: TrialOutcome = facts.agent.built
    ? await tryRuntimes(options)
    : { kind: 'not_tried', reason: 'the agent is not built' };
  return evaluate(facts, options.ociRuntime, outcome);
}

/** Evaluates these facts; pure. */
export function evaluate(facts: HostFacts, wanted: string, outcome: TrialOutcome): Diagnosis {
  const works = outcome.kind === 'tried' && outcome.trials.some((trial) => trial.error === null);
  const findings: Finding[] = [
    ok(`${facts.distro.name}, kernel ${facts.kernel}`),
    ...agentFindings(facts),
    ...runtimeFindings(facts, wanted, outcome),
    ...namespaceFindings(facts, works),
    ...(works && outcome.kind === 'tried' ? mountFindings(facts, outcome) : []),
    ...idFindings(facts),
    ...cgroupFindings(facts),
    ...deviceFindings(facts),
    ...stateDirFindings(facts, works),
  ];
  const explained = findings.some((finding) => finding.level === 'error');
  if (!works && !explained && outcome.kind === 'not_tried') {
    findings.push(
      advise('error', `Could not try a sandbox: ${outcome.reason}`, 'Fix that, then run doctor again.'),
    );
  }
  return { engine: 'oci', works: works && !explained, findings };
}

function wrongSystem(platform: string): Diagnosis {
  const otherSystems =
    platform === 'win32' ? 'Run the server in WSL 2.' : 'Run the server on a Linux machine or in a Linux VM.';
  const advice = `${otherSystems} On ${platform}, use --engine vercel.`;
  return {
    engine: 'oci',
    works: false,
    findings: [advise('error', `The oci engine needs Linux; this is ${platform}`, advice)],
  };
}

async function tryRuntimes({ stateDir, agentPath, ociRuntime }: DiagnoseOptions): Promise<TrialOutcome> {
  try {
    const host = await prepareHost(stateDir, agentPath);
    const { attempts } = await probeRuntimes(host, ociRuntime, AbortSignal.timeout(TRIAL_TIMEOUT_MS));
    const trials = attempts.map(({ runtime: { name, version, cgroups, egress }, error }) => ({
      name,
      version,
      cgroups,
      egress,
      error,
    }));
    return { kind: 'tried', trials, mounts: host.mounts, separateIds: separatesIds(host) };
  } catch (error) {
    const hint = error instanceof SandboxError ? ` ${error.hint}` : '';
    return { kind: 'not_tried', reason: `${error instanceof Error ? error.message : String(error)}${hint}` };
  }
}

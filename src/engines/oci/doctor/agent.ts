import type { Finding } from '../../engine.ts';
import { advise, install, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** Whether the agent, the engine's one native program, is there, and in a source tree what it takes to build it. */
export function agentFindings({ agent, programs, distro, arch }: HostFacts): Finding[] {
  if (agent.built) return [ok(`The agent for ${arch} is there`)];
  const text = `The agent for ${arch} is not built`;
  if (agent.buildScript === null) {
    return [advise('error', text, 'Install the package again; for this architecture, build it from source.')];
  }
  const build: Finding = {
    level: 'error',
    text,
    remedy: [[process.execPath, agent.buildScript]],
    remedyNeedsRoot: false,
    advice: null,
  };
  if (programs.has('cc')) return [build];
  // In this order: the compiler is what the build needs.
  return [
    install('error', 'No C compiler for the agent is installed', distro, 'compiler', 'a C compiler'),
    build,
  ];
}

import type { Finding } from '../../engine.ts';
import { advise, install, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** Whether the agent, the engine's native program, is present, and how to build it in a source tree. */
export function agentFindings({ agent, programs, distro, arch }: HostFacts): Finding[] {
  if (agent.built) return [ok(`The agent for ${arch} is present`)];
  const text = `The agent for ${arch} is not built`;
  if (agent.buildScript === null) {
    return [
      advise(
        'error',
        text,
        'Reinstall the package; if it has no agent for this architecture, build it from source.',
      ),
    ];
  }
  const build: Finding = {
    level: 'error',
    text,
    remedy: [[process.execPath, agent.buildScript]],
    remedyNeedsRoot: false,
    advice: null,
  };
  if (programs.has('cc')) return [build];
  // In this order: the build needs the compiler.
  return [
    install('error', 'No C compiler for the agent is installed', distro, 'compiler', 'a C compiler'),
    build,
  ];
}

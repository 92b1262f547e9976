import { z } from 'zod';
import type { NetworkActivity } from '../../src/engines/engine.ts';
import { READ_ONLY } from '../common/annotations.ts';
import { policyAnswer } from '../common/network-policy.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { sandboxAnswer } from '../sandboxes/sandbox-result.ts';

const facts = z.record(z.string(), z.unknown());

const info = defineTool({
  name: 'session_info',
  title: 'Session info',
  description:
    'Live sandboxes, listening ports, running commands, shells, deadlines, limits, host folders and engine capabilities.',
  searchHint: 'limits, quotas, allowed folders, engines',
  toolsets: ['session'],
  annotations: READ_ONLY,
  input: z.strictObject({}),
  output: z.object({
    session_id: z.string(),
    engine: facts,
    current_sandbox_id: z.string().nullable(),
    sandboxes: z.array(facts),
    commands: z.array(facts),
    shells: z.array(facts),
    limits: facts,
    local_folders: z.array(z.string()),
  }),
  async handle(_args, context) {
    const { session, config, signal } = context;
    const known = await session.info(signal);
    const engine = known.engineLimits;
    return {
      structured: {
        session_id: known.sessionId,
        engine: {
          name: known.engine,
          isolation: engine.isolation,
          capabilities: known.capabilities,
          runtimes: known.runtimes.installed,
          other_runtimes: known.runtimes.others,
          network_modes: engine.networkModes,
          default_network_policy: policyAnswer(engine.defaultNetworkPolicy),
          default_vcpus: engine.defaultVcpus,
          max_vcpus_per_sandbox: engine.maxVcpus,
          memory_mb_per_vcpu: engine.memoryMbPerVcpu,
          disk_mb: engine.diskMb,
          not_enforced: engine.notEnforced,
        },
        current_sandbox_id: known.currentSandboxId,
        sandboxes: known.sandboxes.map((view) => ({
          ...sandboxAnswer(view, context),
          ownership: view.ownership,
          listening_ports: view.listening,
          network: networkAnswer(view.network),
        })),
        commands: known.commands.map((command) => ({
          command_id: command.commandId,
          sandbox_id: command.sandboxId,
          cmd: command.cmd,
          started_at: command.startedAt,
          duration_ms: command.durationMs,
        })),
        shells: known.shells.map((shell) => ({
          shell_id: shell.shellId,
          sandbox_id: shell.sandboxId,
          command: shell.command,
          opened_at: shell.openedAt,
        })),
        limits: {
          max_sandboxes: known.limits.maxSandboxes,
          max_running_commands: known.limits.maxRunningCommands,
          max_shells: known.limits.maxShells,
          max_vcpus: known.limits.maxVcpus,
          max_snapshots: known.limits.maxSnapshots,
          max_lifetime_ms: known.limits.maxLifetimeMs,
        },
        local_folders: [...config.allowDirs],
      },
    };
  },
});

/** Helps explain a failed install: what was refused, and by which rule. Null if the engine does not know. */
function networkAnswer(activity: NetworkActivity | null): Record<string, unknown> | null {
  return (
    activity && {
      connections: activity.connections,
      bytes_in: activity.bytesIn,
      bytes_out: activity.bytesOut,
      max_bytes: activity.maxBytes,
      refused: activity.refused,
      last_refused: activity.lastRefused,
    }
  );
}

/** Tools about the session itself. */
export const sessionTools: readonly Tool[] = [info];

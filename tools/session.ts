import { z } from 'zod';
import { LOOKS } from './annotations.ts';
import { policyAnswer, sandboxAnswer } from './sandbox-answer.ts';
import { defineTool, type Tool } from './tool.ts';

const facts = z.record(z.string(), z.unknown());

const info = defineTool({
  name: 'session_info',
  title: 'Session info',
  description:
    'Live sandboxes, running commands, deadlines, limits, host folders, and what the engine can do.',
  toolsets: ['session'],
  annotations: LOOKS,
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
          network_modes: engine.networkModes,
          default_network_policy: policyAnswer(engine.defaultNetworkPolicy),
          default_vcpus: engine.defaultVcpus,
          max_vcpus: engine.maxVcpus,
          memory_mb_per_vcpu: engine.memoryMbPerVcpu,
          not_enforced: engine.notEnforced,
        },
        current_sandbox_id: known.currentSandboxId,
        sandboxes: known.sandboxes.map((view) => ({
          ...sandboxAnswer(view, context),
          ownership: view.ownership,
        })),
        commands: known.commands.map((command) => ({
          command_id: command.commandId,
          sandbox_id: command.sandboxId,
          cmd: command.cmd,
          started_at: command.startedAt,
          duration_ms: command.durationMs,
        })),
        // Terminals come with the shells group of an engine.
        shells: [],
        limits: {
          max_sandboxes: known.limits.maxSandboxes,
          max_running_commands: known.limits.maxRunningCommands,
          max_vcpus: known.limits.maxVcpus,
          max_lifetime_ms: known.limits.maxLifetimeMs,
        },
        local_folders: [...config.allowDirs],
      },
    };
  },
});

/** The conversation itself. */
export const sessionTools: readonly Tool[] = [info];

import { z } from 'zod';
import type { ProvidedWorkspace } from '../../src/engines/engine.ts';
import type { SandboxView } from '../../src/registry/types.ts';
import { policyAnswer } from '../common/network-policy.ts';
import type { ToolContext } from '../common/tool.ts';

/** A result this close to the deadline says how to extend it. */
const LAST_MINUTE_MS = 60_000;

const text = z.string().nullable();

/** The fields of every result about a sandbox. */
export const sandboxOutput = z.object({
  sandbox_id: z.string(),
  status: z.string(),
  status_reason: text,
  engine: z.string(),
  runtime: z.string(),
  cwd: z.string(),
  vcpus: z.number(),
  memory_mb: z.number(),
  created_at: z.number(),
  timeout_ms: z.number(),
  expires_at: z.number().nullable(),
  ports: z.array(z.object({ port: z.int(), url: text })),
  network_policy: z.record(z.string(), z.unknown()),
  interactive_port: z.int().nullable(),
  source_snapshot_id: text,
  source_path: text,
  region: text,
  /** As `workspaceAnswer`, or null. Unspecified here, because its schema would be in many tools. */
  workspace: z.unknown(),
  keep: z.boolean(),
  next: text,
});

export type SandboxAnswer = z.output<typeof sandboxOutput>;

/** Needed to tell whether the deadline is near, and whether it can be extended. */
export type AnswerContext = Pick<ToolContext, 'now' | 'config'>;

/** A sandbox as a tool result. */
export function sandboxAnswer(view: SandboxView, context: AnswerContext): SandboxAnswer {
  return {
    sandbox_id: view.sandboxId,
    status: view.status,
    status_reason: statusReason(view),
    engine: view.engine,
    runtime: view.runtime,
    cwd: view.cwd,
    vcpus: view.vcpus,
    memory_mb: view.memoryMb,
    created_at: view.createdAt,
    timeout_ms: view.timeoutMs,
    expires_at: view.expiresAt,
    ports: view.ports.map(({ port, url }) => ({ port, url })),
    network_policy: { ...policyAnswer(view.networkPolicy) },
    interactive_port: view.interactivePort,
    source_snapshot_id: view.sourceSnapshotId,
    source_path: view.sourcePath,
    region: view.region ?? null,
    workspace: view.workspace == null ? null : workspaceAnswer(view.workspace),
    keep: view.keep,
    next: nextStep(view, context),
  };
}

function workspaceAnswer({ localPath, path, mode, provision }: ProvidedWorkspace) {
  return { local_path: localPath, path, mode, provision };
}

/** Why a sandbox ended, as text; null while it is alive. */
export function statusReason(view: SandboxView): string | null {
  return view.statusReason ?? (view.stopCause === null ? null : STOP_TEXT[view.stopCause]);
}

const STOP_TEXT: Record<NonNullable<SandboxView['stopCause']>, string> = {
  requested: 'stopped by request',
  session_end: 'stopped with its session',
  deadline: 'its timeout expired',
  snapshot: 'stopped by a snapshot',
  aborted: 'killed externally, or the host rebooted',
  out_of_memory: 'out of memory',
};

function nextStep(view: SandboxView, { now, config }: AnswerContext): string | null {
  const id = `sandbox_id=${view.sandboxId}`;
  if (view.status === 'pending') return `sandbox_wait_for_status ${id} status=running`;
  if (view.status === 'stopping' || view.status === 'snapshotting')
    return `sandbox_wait_for_status ${id} status=stopped`;
  if (view.status !== 'running' || view.expiresAt === null) return null;
  const left = view.expiresAt - now();
  if (left >= LAST_MINUTE_MS) return null;
  const ends = `The sandbox ends in ${Math.max(0, Math.ceil(left / 1_000))} s`;
  if (view.timeoutMs < config.maxLifetimeMs) return `${ends}: sandbox_extend_timeout ${id} extends it.`;
  return `${ends} and has reached its maximum lifetime: save work with sandbox_download_file ${id}.`;
}

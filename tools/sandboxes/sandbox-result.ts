import { z } from 'zod';
import type { SandboxView } from '../../src/registry/types.ts';
import { policyAnswer } from '../common/network-policy.ts';
import type { ToolContext } from '../common/tool.ts';

/** An answer this close to the end says how to move it. */
const LAST_MINUTE_MS = 60_000;

const text = z.string().nullable();

/** What every answer about a sandbox holds. */
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
  keep: z.boolean(),
  next: text,
});

export type SandboxAnswer = z.output<typeof sandboxOutput>;

/** The time tells whether a sandbox's last minute has come, the configuration whether its life can be extended. */
export type AnswerContext = Pick<ToolContext, 'now' | 'config'>;

/** A sandbox as a tool answers it. */
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
    keep: view.keep,
    next: nextStep(view, context),
  };
}

/** Why a sandbox ended, in words; null while it lives. */
export function statusReason(view: SandboxView): string | null {
  return view.statusReason ?? (view.stopCause === null ? null : STOP_TEXT[view.stopCause]);
}

const STOP_TEXT: Record<NonNullable<SandboxView['stopCause']>, string> = {
  requested: 'stopped by request',
  session_end: 'stopped with its session',
  deadline: 'its time was up',
  snapshot: 'stopped by a snapshot',
  aborted: 'ended from outside',
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
  const ends = `It ends in ${Math.max(0, Math.ceil(left / 1_000))} s`;
  if (view.timeoutMs < config.maxLifetimeMs) return `${ends}: sandbox_extend_timeout ${id} keeps it.`;
  return `${ends} and has the longest life allowed: save work with sandbox_download_file ${id}.`;
}

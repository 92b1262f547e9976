/**
 * The reference for each operation, as calls with complete results: every field, none derived from a run.
 *
 * Values that a reference cannot define (ids, times, addresses) are checked by their form. Cases run in
 * order: `seen` contains the results so far, by case name.
 */
import { expect } from 'vitest';

export type Answer = Record<string, unknown>;
export type Seen = Record<string, Answer>;

export interface ReferenceCase {
  name: string;
  /** The section of the reference that defines the result. */
  section: string;
  tool: string;
  args: (seen: Seen) => Record<string, unknown>;
  /** The complete result, or the error code. */
  answer: (seen: Seen) => Answer | string;
}

export const DAY_MS = 86_400_000;

export const anyTime = (): unknown => expect.toSatisfy(isRecent, 'a time of this run, in epoch ms');
export const anyDuration = (): unknown => expect.toSatisfy(isDuration, 'a duration in ms');
export const id = (prefix: string): unknown => expect.stringMatching(new RegExp(`^${prefix}_[A-Za-z0-9_]+$`));

function isRecent(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value - Date.now()) < 600_000;
}

function isDuration(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < 60_000;
}

/** A field of an earlier result. */
export function from(seen: Seen, name: string, field: string): unknown {
  const answer = seen[name];
  if (answer === undefined || !(field in answer)) throw new Error(`${name} did not answer ${field}`);
  return answer[field];
}

export const sandbox = (engine: unknown, more: Answer = {}): Answer => ({
  sandbox_id: id('sbx'),
  status: 'running',
  status_reason: null,
  engine,
  runtime: expect.stringMatching(/./),
  cwd: '/vercel/sandbox',
  vcpus: 1,
  memory_mb: 2_048,
  created_at: anyTime(),
  timeout_ms: 300_000,
  expires_at: expect.toSatisfy(isSoon, 'a time within a day'),
  ports: [{ port: 3000, url: expect.stringMatching(/^https?:\/\//) }],
  network_policy: { mode: 'deny-all' },
  interactive_port: null,
  source_snapshot_id: null,
  source_path: null,
  region: engine === 'vercel' ? 'iad1' : null,
  workspace: null,
  keep: false,
  next: null,
  ...more,
});

function isSoon(value: unknown): boolean {
  return typeof value === 'number' && value > Date.now() && value < Date.now() + DAY_MS;
}

export const command = (seen: Seen, more: Answer): Answer => ({
  command_id: id('cmd'),
  sandbox_id: from(seen, 'create', 'sandbox_id'),
  cmd: 'sh',
  args: expect.any(Array),
  cwd: '/vercel/sandbox',
  status: 'finished',
  exit_code: 0,
  signal: null,
  ended_by: 'exit',
  started_at: anyTime(),
  duration_ms: anyDuration(),
  stdout: '',
  stderr: '',
  stdout_bytes: 0,
  stderr_bytes: 0,
  truncated: false,
  next: null,
  ...more,
});

/** Arguments to run a shell line. */
export const sh = (script: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  cmd: 'sh',
  args: ['-c', script],
  ...more,
});

/** A case whose arguments do not depend on earlier results. */
export const one = (
  name: string,
  section: string,
  tool: string,
  args: object,
  answer: ReferenceCase['answer'],
): ReferenceCase => ({ name, section, tool, args: () => ({ ...args }), answer });

/** How the sandbox of the cases is created. */
export const CREATE = {
  ports: [3000],
  timeout_ms: 300_000,
  resources: { vcpus: 1 },
  env: { FROM: 'sandbox' },
  network_policy: { mode: 'deny-all' },
};

/** The fields of a sandbox that has ended. */
export const ENDED = { expires_at: null, ports: [{ port: 3000, url: null }], next: null };

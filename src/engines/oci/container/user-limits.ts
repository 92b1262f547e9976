/** Checks in a running sandbox that the kernel's limits by user, which agent/host/user-limits.c lowers, are lower. */
import { readFile } from 'node:fs/promises';
import { AgentConnection, AgentError } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';

/** Those of agent/host/user-limits.c, which also explains them. */
const LIMITS = ['max_inotify_instances', 'max_inotify_watches', 'max_fanotify_groups', 'max_fanotify_marks'];
/** As there: what a user of a sandbox gets of what a user of the host may have. */
const SHARE = 2;
const MAX_BYTES = 64;

type ReadLimit = (name: string) => Promise<number | null>;

/** Whether each limit that the kernel has is lower in the sandbox than for the users of the host. */
export async function hasUserLimits(agentSocket: string, signal: AbortSignal): Promise<boolean> {
  return areLowered(limitOfHost, (name) => limitInside(agentSocket, name, signal));
}

/** Exported for tests. Null stands for a limit that cannot be read. */
export async function areLowered(onHost: ReadLimit, inside: ReadLimit): Promise<boolean> {
  const lowered = LIMITS.map(async (name) => {
    const most = await onHost(name);
    if (most === null || most < SHARE) return true;
    const limit = await inside(name);
    return limit !== null && limit <= most / SHARE;
  });
  return (await Promise.all(lowered)).every(Boolean);
}

function pathOf(name: string): string {
  return `/proc/sys/user/${name}`;
}

function parseLimit(text: string): number | null {
  return /^\d+\n?$/.test(text) ? Number(text) : null;
}

/** Null on a kernel without it. */
async function limitOfHost(name: string): Promise<number | null> {
  return parseLimit(await readFile(pathOf(name), 'utf8').catch(() => ''));
}

/** The file shows the namespace of the process that reads it: one inside has to. */
async function limitInside(agentSocket: string, name: string, signal: AbortSignal): Promise<number | null> {
  const connection = await AgentConnection.open(agentSocket, signal);
  try {
    const fields = encodeFields([
      [TAG.path, pathOf(name)],
      [TAG.limit, MAX_BYTES],
    ]);
    await connection.send(FRAME.READ, fields);
    await connection.expect(FRAME.STAT);
    const { type, body } = await connection.expect(FRAME.DATA, FRAME.END);
    return type === FRAME.DATA ? parseLimit(body.toString('latin1')) : null;
  } catch (error) {
    if (error instanceof AgentError) return null;
    throw error;
  } finally {
    connection.close();
  }
}

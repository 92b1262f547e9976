import { z } from 'zod';
import type { CreateRequest, SandboxHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { MAX_PORTS } from '../../src/shared/network/exposed-ports.ts';
import { ADDS, READ_ONLY, REPLACES } from '../common/annotations.ts';
import { briefNetworkPolicy } from '../common/network-policy.ts';
import {
  env,
  instantMs,
  listShape,
  MAX_WAIT_MS,
  MIN_TIMEOUT_MS,
  port,
  sandboxId,
  waitMs,
} from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { createAsTask } from './create-as-task.ts';
import { updateNetworkPolicy } from './network.ts';
import { toCreateRequest } from './sandbox-request.ts';
import { sandboxAnswer, sandboxOutput } from './sandbox-result.ts';
import { source } from './sandbox-source.ts';
import { STATUSES, waitForStatus } from './sandbox-status.ts';
import { stopSandbox } from './sandbox-stop.ts';
import { requireVisible, volumes } from './sandbox-volumes.ts';
import { takeSnapshot } from './snapshot.ts';
import { toWorkspace, workspace } from './workspace.ts';

const pollIntervalMs = z.int().min(50).max(MAX_WAIT_MS).default(500);

const create = defineTool({
  name: 'sandbox_create',
  title: 'Create sandbox',
  description: 'Create an isolated Linux sandbox and select it.',
  toolsets: ['core', 'lifecycle'],
  annotations: { ...ADDS, openWorldHint: true },
  input: z.strictObject({
    source: source.optional().describe('git: url; tarball: url; snapshot: snapshot_id'),
    workspace: workspace.optional().describe('host folder to work on; changes stay inside'),
    runtime: z.string().optional().describe("node22, python3.13, … or image:tag; default: the host's"),
    ports: z
      .array(port)
      .max(MAX_PORTS)
      .refine((ports) => new Set(ports).size === ports.length, 'a list of different ports')
      .optional(),
    timeout_ms: z.int().min(MIN_TIMEOUT_MS).optional().describe('lifetime, default 300000'),
    resources: z.strictObject({ vcpus: z.int().min(1).optional() }).optional(),
    env: env.optional().describe('set for every command'),
    network_policy: briefNetworkPolicy.optional(),
    volumes: volumes.optional().describe('{name, path, read_only?}: kept'),
    interactive: z.boolean().optional(),
    keep: z.boolean().optional().describe('survives the session'),
    name: z
      .string()
      .refine((value) => /^[\w-]{1,64}$/.test(value), 'up to 64 letters, digits, _ and -')
      .optional()
      .describe('with keep: resumable'),
    keep_snapshots: z
      .int()
      .refine((count) => count >= 1 && count <= 10, 'a number from 1 to 10')
      .optional(),
    regions: z
      .array(z.string().refine((value) => /^[a-z]{3}\d$/.test(value), 'a region such as iad1 or fra1'))
      .refine(
        (regions) => regions.length > 0 && new Set(regions).size === regions.length,
        'a list of different regions',
      )
      .optional(),
  }),
  output: sandboxOutput,
  async handle(args, context) {
    const { session, signal, progress, softTimeoutMs } = context;
    const request: CreateRequest = {
      ...toCreateRequest(args),
      ...(args.workspace && {
        workspace: await toWorkspace(args.workspace, args.source?.type, context.config),
      }),
    };
    if (request.workspace !== undefined) requireVisible(request.workspace.path, request.volumes);
    if (context.config.engine === 'vercel' && session.created === 0)
      await context.confirm(cloudQuestion(request.workspace?.localPath));
    const report = context.wantsProgress && { report: progress };
    const view =
      context.continueAsTask === null
        ? await session.create(request, signal, { softTimeoutMs, ...report })
        : await createAsTask(request, { ...report }, context, context.continueAsTask);
    return { structured: sandboxAnswer(view, context) };
  },
});

/** A folder that is mounted here leaves this machine there. */
function cloudQuestion(localPath: string | undefined): string {
  const upload = localPath === undefined ? '' : ` and upload ${localPath} to it`;
  return `Create a cloud sandbox${upload}? The account of the operator is charged for it.`;
}

const get = defineTool({
  name: 'sandbox_get',
  title: 'Get sandbox',
  description: 'Get the state of a sandbox and select it, also one from an earlier session.',
  searchHint: 'attach to a sandbox',
  toolsets: ['core', 'lifecycle'],
  annotations: READ_ONLY,
  input: z.strictObject({ sandbox_id: sandboxId }),
  output: sandboxOutput.extend({ git_url: z.string().nullable() }),
  async handle(args, context) {
    const { session, signal, config } = context;
    const view = await session.attach(args.sandbox_id, signal, { resume: !config.readOnly });
    const handle = await session.sandbox(view.sandboxId);
    const gitUrl = view.status === 'running' ? await handle.gitUrl() : null;
    return { structured: { ...sandboxAnswer(view, context), git_url: gitUrl } };
  },
});

const list = defineTool({
  name: 'sandbox_list',
  title: 'List sandboxes',
  description: 'List your sandboxes, newest first, including stopped ones.',
  searchHint: 'find earlier sandboxes',
  toolsets: ['lifecycle'],
  annotations: READ_ONLY,
  input: z.strictObject(listShape),
  output: z.object({
    sandboxes: z.array(z.record(z.string(), z.unknown())),
    next_cursor: z.string().nullable(),
  }),
  async handle({ limit, since, until, cursor }, context) {
    const query = {
      limit,
      since: since === undefined ? null : instantMs(since),
      until: until === undefined ? null : instantMs(until),
      cursor: cursor ?? null,
    };
    const page = await context.session.list(query, context.signal);
    const sandboxes = page.items.map((view) => ({ ...sandboxAnswer(view, context) }));
    return { structured: { sandboxes, next_cursor: page.nextCursor } };
  },
});

const waitFor = defineTool({
  name: 'sandbox_wait_for_status',
  title: 'Wait for status',
  description: 'Wait until a sandbox reaches a status.',
  searchHint: 'wait until a sandbox is ready',
  toolsets: ['lifecycle'],
  annotations: READ_ONLY,
  input: z.strictObject({
    status: z.enum(STATUSES),
    timeout_ms: waitMs,
    poll_interval_ms: pollIntervalMs,
    sandbox_id: sandboxId,
  }),
  output: sandboxOutput,
  async handle(args, context) {
    const { session, signal } = context;
    const handle = await session.sandbox(args.sandbox_id);
    const timeoutMs = context.boundWait(args.timeout_ms);
    const wait = { status: args.status, timeoutMs, pollIntervalMs: args.poll_interval_ms };
    const view = await waitForStatus(handle, wait, signal);
    if (view !== null) return { structured: sandboxAnswer(view, context) };
    throw new SandboxError(
      'timeout',
      `Sandbox ${handle.sandboxId} did not become ${args.status} within ${Math.round(timeoutMs)} ms.`,
      { hint: 'Call sandbox_get to see its state, or sandbox_wait_for_status again.' },
    );
  },
});

const domain = defineTool({
  name: 'sandbox_domain',
  title: 'URL of a port',
  description:
    'Get the URL of a port, exposing it if need be. For interactive_port: a single-use WebSocket terminal.',
  searchHint: 'preview URL of a web server port',
  toolsets: ['core', 'lifecycle'],
  // The URL of a terminal has a new single-use token.
  annotations: ADDS,
  readOnlyAnnotations: READ_ONLY,
  input: z.strictObject({ port, sandbox_id: sandboxId }),
  output: z.object({ sandbox_id: z.string(), port: z.int(), url: z.string() }),
  async handle(args, { session, config, signal }) {
    const handle = await session.sandbox(args.sandbox_id);
    const { ports, interactivePort } = await handle.requireRunning(signal);
    if (args.port === interactivePort && config.readOnly) throw noTerminals(args.port);
    if (args.port === interactivePort) {
      const url = await handle.terminalUrl(signal);
      return { structured: { sandbox_id: handle.sandboxId, port: args.port, url } };
    }
    const known = ports.find((each) => each.port === args.port);
    if (known === undefined && config.readOnly) throw notExposed(args.port, ports);
    const exposed = known ?? (await exposePort(handle, args.port, signal));
    if (exposed.url === null) {
      throw new SandboxError('unavailable', `Port ${args.port} is not forwarded at the moment.`, {
        hint: `Call sandbox_get with sandbox_id ${handle.sandboxId} to forward its ports.`,
      });
    }
    return { structured: { sandbox_id: handle.sandboxId, port: args.port, url: exposed.url } };
  },
});

function noTerminals(wanted: number): SandboxError {
  return new SandboxError(
    'permission',
    `Port ${wanted} is the interactive port, which opens a terminal; this server is read-only.`,
    {
      hint: 'Ask the operator for a server without --read-only, or use another port.',
      details: { port: wanted },
    },
  );
}

async function exposePort(handle: SandboxHandle, port: number, signal: AbortSignal) {
  const { ports } = await handle.exposePort(port, signal);
  return ports.find((each) => each.port === port) ?? { port, url: null };
}

function notExposed(wanted: number, ports: { port: number }[]): SandboxError {
  const exposed = ports.map((each) => each.port);
  const choice = exposed.length > 0 ? `one of ${exposed.join(', ')}` : 'another sandbox';
  return new SandboxError(
    'permission',
    `Port ${wanted} is not exposed, and this server is read-only: it exposes none.`,
    {
      hint: `Ask the operator for a server without --read-only, or use ${choice}.`,
      details: { port: wanted, exposed },
    },
  );
}

const extendTimeout = defineTool({
  name: 'sandbox_extend_timeout',
  title: 'Extend timeout',
  description: 'Extend the lifetime of a running sandbox.',
  searchHint: 'keep a sandbox alive longer',
  toolsets: ['core', 'lifecycle'],
  annotations: ADDS,
  input: z.strictObject({ duration_ms: z.int().min(1), sandbox_id: sandboxId }),
  output: sandboxOutput,
  async handle(args, context) {
    const handle = await context.session.sandbox(args.sandbox_id);
    const view = await handle.extendTimeout(args.duration_ms, context.signal);
    return { structured: sandboxAnswer(view, context) };
  },
});

const stop = defineTool({
  name: 'sandbox_stop',
  title: 'Stop sandbox',
  description: 'Stop a sandbox and delete its files, unless it has a name. Command logs stay readable.',
  searchHint: 'delete, shut down a sandbox',
  toolsets: ['core', 'lifecycle'],
  annotations: REPLACES,
  input: z.strictObject({
    blocking: z.boolean().default(false),
    timeout_ms: waitMs,
    poll_interval_ms: pollIntervalMs,
    sandbox_id: sandboxId,
  }),
  output: sandboxOutput,
  async handle(args, context) {
    const { session, signal } = context;
    const handle = await session.sandbox(args.sandbox_id);
    if (!(await session.owns(handle.sandboxId))) {
      await context.confirm(
        `Stop sandbox ${handle.sandboxId}? Another session has created it and may still use it.`,
      );
    }
    // The engine reports the end, so that `poll_interval_ms`, an argument of the SDK's call, is not needed.
    const request = { blocking: args.blocking, timeoutMs: context.boundWait(args.timeout_ms) };
    const view = await stopSandbox(handle, request, signal);
    return { structured: sandboxAnswer(view, context) };
  },
});

/** The life cycle of sandboxes, in the order of the tool list. */
export const sandboxTools: readonly Tool[] = [
  create,
  get,
  list,
  waitFor,
  domain,
  extendTimeout,
  updateNetworkPolicy,
  takeSnapshot,
  stop,
];

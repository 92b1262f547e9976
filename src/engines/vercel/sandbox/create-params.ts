/** The parameters of the request that creates a sandbox. */
import { SandboxError } from '../../../shared/errors.ts';
import { PROGRAM_DEFAULTS } from '../../../shared/program-defaults.ts';
import { type SourceCredentials, sourceCredentials } from '../../../shared/source-credentials.ts';
import type { CreateSandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { toSdkPolicy } from '../policy/network-policy.ts';
import { snapshotRuntime } from '../state/snapshot-record.ts';
import { chooseRuntime, type RuntimeChoice } from './runtime-choice.ts';

/**
 * What the sandbox starts from, and how that is shown. A snapshot has its own runtime; any other is rejected.
 */
export async function planOf(
  context: VercelContext,
  { runtime, source }: CreateSandbox,
): Promise<{ choice: RuntimeChoice; runtime: string | null }> {
  if (source?.type !== 'snapshot') return { choice: chooseRuntime(runtime), runtime };
  const own = await snapshotRuntime(context.layout, source.snapshotId);
  if (runtime === null || runtime === own) return { choice: null, runtime: own };
  const message = own === null ? '' : ` (it is ${own})`;
  throw new SandboxError(
    'invalid_argument',
    `The runtime "${runtime}" cannot be set: a snapshot has its own runtime${message}.`,
    {
      hint: 'Call sandbox_create with this source and without runtime.',
      details: { runtime, snapshot_id: source.snapshotId },
    },
  );
}

/** How long the files of a stopped persistent sandbox are kept. */
const DEFAULT_EXPIRATION_MS = 30 * 86_400_000;

/**
 * With its secrets substituted: never to be stored or returned. `timeoutMs` is what is requested at first.
 */
export function paramsOf(
  { secrets }: Pick<VercelContext, 'secrets'>,
  request: CreateSandbox,
  choice: RuntimeChoice,
  timeoutMs: number,
) {
  const { sandboxId, ports, vcpus, env, networkPolicy, source, regions, persistent } = request;
  const [region, ...failoverRegions] = regions ?? [];
  const common = {
    name: sandboxId,
    ...persistence(persistent),
    ...(region !== undefined && { region }),
    ...(failoverRegions.length > 0 && { failoverRegions }),
    ports,
    timeout: timeoutMs,
    resources: { vcpus },
    env: { ...PROGRAM_DEFAULTS, ...secrets.fillEnvironment(env) },
    networkPolicy: toSdkPolicy(networkPolicy, secrets),
  };
  if (source === null) return { ...common, ...choice };
  if (source.type === 'snapshot') {
    return { ...common, source: { type: 'snapshot' as const, snapshotId: source.snapshotId } };
  }
  if (source.type === 'tarball') {
    return { ...common, ...choice, source: { type: 'tarball' as const, url: source.url } };
  }
  return { ...common, ...choice, source: gitSource(source, sourceCredentials(source, secrets)) };
}

/**
 * The platform's own name is the id; the chosen one is shown as a tag. Kept files expire, so that nothing
 * costs for ever.
 */
function persistence(persistent: CreateSandbox['persistent']) {
  if (persistent === undefined) return { persistent: false };
  const { name, keepSnapshots } = persistent;
  return {
    persistent: true,
    tags: { name },
    snapshotExpiration: DEFAULT_EXPIRATION_MS,
    ...(keepSnapshots !== null && { keepLastSnapshots: { count: keepSnapshots } }),
  };
}

function gitSource(
  { url, revision, depth }: Extract<CreateSandbox['source'], { type: 'git' }>,
  credentials: SourceCredentials | null,
) {
  const repository = {
    type: 'git' as const,
    url,
    ...(revision !== undefined && { revision }),
    ...(depth !== undefined && { depth }),
  };
  if (credentials === null) return repository;
  const { username, password } = credentials;
  return { ...repository, username, password };
}

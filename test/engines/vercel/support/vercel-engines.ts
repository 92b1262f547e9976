/** The vercel engine with the stand-in: in this process, and in the built server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProxySettings, VercelEnvironment } from '../../../../src/config/config.ts';
import { compilePolicy } from '../../../../src/egress/policy/policy.ts';
import type { Engine, NetworkPolicy } from '../../../../src/engines/engine.ts';
import { DEFAULT_TUNING, type HttpTuning } from '../../../../src/engines/vercel/http/dispatchers.ts';
import { createVercelEngine } from '../../../../src/engines/vercel/index.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { SecretStore } from '../../../../src/shared/secrets.ts';
import type { Replica } from '../../../../src/shared/store/replica.ts';
import type { EngineUnderTest } from '../../../conformance/support/subject.ts';
import type { VercelApi } from '../../../fakes/vercel/index.ts';

/** No credentials, and nothing to read them from. */
export const NO_CREDENTIALS: VercelEnvironment = {
  oidcToken: null,
  token: null,
  teamId: null,
  projectId: null,
  tokenFile: null,
  tokenCommand: null,
  envFile: null,
};

/** A token like Vercel's, with these claims. */
export function oidcToken(claims: Record<string, unknown>): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.signature`;
}

/** No proxy, whatever this machine's environment says. */
const NO_PROXY = { http: null, https: null, no: null };

/** No secrets, and policies parsed as in the server. */
const WITHOUT_SECRETS = {
  secrets: new SecretStore(),
  readPolicy: (policy: NetworkPolicy) => compilePolicy(policy, { opened: [], ownAddresses: () => [] }),
};

export interface OpenedVercel {
  engine: Engine;
  stateDir: string;
  /** Removes the state directory if it was created for this engine. */
  remove(): Promise<void>;
}

/** An engine that sends every request to the stand-in. */
export async function openVercelEngine(
  { url, credentials }: { url: string; credentials: Partial<VercelEnvironment> },
  options: Partial<HttpTuning> & { stateDir?: string; proxy?: ProxySettings; replica?: Replica } = {},
): Promise<OpenedVercel> {
  const { stateDir = await mkdtemp(join(tmpdir(), 'v-')), proxy = NO_PROXY, replica, ...tuning } = options;
  const engine = createVercelEngine({
    stateDir,
    apiUrl: url,
    environment: { ...NO_CREDENTIALS, ...credentials },
    proxy,
    ...WITHOUT_SECRETS,
    ...(replica !== undefined && { replica }),
    tuning: { ...DEFAULT_TUNING, ...tuning },
    log: createLogger('silent'),
  });
  const remove =
    options.stateDir === undefined ? () => rm(stateDir, { recursive: true, maxRetries: 10 }) : async () => {};
  return { engine, stateDir, remove };
}

/**
 * What is missing to run against the real cloud, or null if nothing is. It costs money, so it is opt-in;
 * `RUN_LIVE_API_URL` is for a cloud other than Vercel's own.
 */
export function missingForLive(env: NodeJS.ProcessEnv = process.env): string | null {
  if (env['RUN_LIVE'] !== '1') return 'RUN_LIVE=1 and the credentials of VERCEL_*';
  if (env['VERCEL_OIDC_TOKEN'] !== undefined) return null;
  const needed = ['VERCEL_TOKEN', 'VERCEL_TEAM_ID', 'VERCEL_PROJECT_ID'].filter(
    (name) => env[name] === undefined,
  );
  return needed.length === 0 ? null : `${needed.join(', ')} (or VERCEL_OIDC_TOKEN)`;
}

/** Two engines on one state directory, in the cloud that the environment's credentials belong to. */
export async function openLiveEngines(env: NodeJS.ProcessEnv = process.env): Promise<EngineUnderTest> {
  const stateDir = await mkdtemp(join(tmpdir(), 'v-'));
  const open = (): Engine =>
    createVercelEngine({
      stateDir,
      apiUrl: env['RUN_LIVE_API_URL'] ?? null,
      environment: {
        ...NO_CREDENTIALS,
        oidcToken: env['VERCEL_OIDC_TOKEN'] ?? null,
        token: env['VERCEL_TOKEN'] ?? null,
        teamId: env['VERCEL_TEAM_ID'] ?? null,
        projectId: env['VERCEL_PROJECT_ID'] ?? null,
      },
      proxy: {
        http: env['HTTP_PROXY'] ?? null,
        https: env['HTTPS_PROXY'] ?? null,
        no: env['NO_PROXY'] ?? null,
      },
      ...WITHOUT_SECRETS,
      tuning: DEFAULT_TUNING,
      log: createLogger('silent'),
    });
  const [engine, other] = [open(), open()];
  return {
    engine,
    other,
    remote: true,
    async close() {
      await Promise.all([engine.close(), other.close()]);
      // A command's last reading may still be recorded.
      await rm(stateDir, { recursive: true, maxRetries: 10 });
    },
  };
}

/** Flags of a server that uses the stand-in. */
export function vercelArguments({ url }: Pick<VercelApi, 'url'>): string[] {
  return ['--engine', 'vercel', '--vercel-api-url', url];
}

export function serverEnvironment({ credentials }: Pick<VercelApi, 'credentials'>): Record<string, string> {
  const { token, teamId, projectId } = credentials;
  return { VERCEL_TOKEN: token, VERCEL_TEAM_ID: teamId, VERCEL_PROJECT_ID: projectId };
}

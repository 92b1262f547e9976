/** Checks access to Vercel: first the credentials themselves, then one harmless request. */
import type { ProxySettings, VercelEnvironment } from '../../config/config.ts';
import { SandboxError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import type { Diagnosis, Finding } from '../engine.ts';
import { fromPlatform } from './http/api-errors.ts';
import { CredentialSource } from './http/credential-source.ts';
import { type Credentials, RENEWAL } from './http/credentials.ts';
import { DEFAULT_TUNING, type HttpTuning, openDispatchers } from './http/dispatchers.ts';
import { createFetch, SDK_BASE_URL } from './http/fetch.ts';
import { SdkClient } from './http/sdk-client.ts';
import { UnknownPolicyParts } from './http/unknown-policy-parts.ts';

export interface DiagnoseVercelOptions {
  readonly apiUrl: string | null;
  readonly environment: VercelEnvironment;
  readonly proxy: ProxySettings;
  /** True if the operator chose this engine: otherwise no request is sent. */
  readonly chosen: boolean;
  readonly tuning?: Partial<HttpTuning>;
}

const SILENT = createLogger('silent');
const TRIAL_MS = 30_000;
/** An OIDC token is valid for hours; one that expires sooner than this expires in the middle of the work. */
const SOON_MS = 60 * 60_000;

/** Never rejects. */
export async function diagnoseVercel(options: DiagnoseVercelOptions): Promise<Diagnosis> {
  const { environment, chosen } = options;
  const { oidcToken, token, tokenFile, tokenCommand } = environment;
  const isSet = [oidcToken, token, tokenFile, tokenCommand].some((value) => value !== null);
  if (!chosen && !isSet) {
    return {
      engine: 'vercel',
      works: false,
      findings: [finding('warning', 'not set up (--engine vercel)', null)],
    };
  }
  const source = new CredentialSource(environment, SILENT);
  let credentials: Credentials;
  try {
    credentials = await source.current();
  } catch (error) {
    return { engine: 'vercel', works: false, findings: [problemOf(error)] };
  }
  const { variable, teamId, projectId } = credentials;
  const findings = [
    finding('ok', `${variable} is set, for team ${teamId} and project ${projectId}`, null),
    ...expiryFindings(credentials),
  ];
  if (!chosen) {
    findings.push(
      finding('warning', 'Not tried', 'Run `sandbox-mcp doctor --engine vercel` to test the connection.'),
    );
    return { engine: 'vercel', works: false, findings };
  }
  const failure = await tryCloud(options, source);
  const where = options.apiUrl ?? SDK_BASE_URL;
  findings.push(
    failure === null ? finding('ok', `${where} accepts the credentials`, null) : problemOf(failure),
  );
  return { engine: 'vercel', works: failure === null, findings };
}

function expiryFindings({ variable, expiresAt }: Credentials): Finding[] {
  if (expiresAt === null) return [];
  const minutes = Math.round((expiresAt - Date.now()) / 60_000);
  if (expiresAt - Date.now() > SOON_MS) {
    return [finding('ok', `${variable} is valid until ${new Date(expiresAt).toISOString()}`, null)];
  }
  return [finding('warning', `${variable} expires in ${minutes} minutes`, RENEWAL[variable])];
}

/** Vercel's error on listing one sandbox; null if it succeeds. */
async function tryCloud(
  options: DiagnoseVercelOptions,
  credentials: CredentialSource,
): Promise<SandboxError | null> {
  const tuning = { ...DEFAULT_TUNING, ...options.tuning };
  const dispatchers = openDispatchers(options.proxy, tuning);
  const unknownParts = new UnknownPolicyParts();
  const settings = { baseUrl: options.apiUrl, credentials, dispatchers, unknownParts, tuning, log: SILENT };
  try {
    await new SdkClient(createFetch(settings), credentials, unknownParts).list(
      1,
      null,
      AbortSignal.timeout(TRIAL_MS),
    );
    return null;
  } catch (error) {
    return fromPlatform(error, { doing: 'list sandboxes' });
  } finally {
    await dispatchers.close();
  }
}

function problemOf(error: unknown): Finding {
  if (error instanceof SandboxError) return finding('error', withoutStop(error.message), error.hint);
  return finding('error', error instanceof Error ? error.message : String(error), null);
}

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, '');
}

function finding(level: Finding['level'], text: string, advice: string | null): Finding {
  return { level, text, remedy: [], remedyNeedsRoot: false, advice };
}

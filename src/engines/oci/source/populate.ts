/** Populates a booted sandbox before it is returned. */
import { SandboxError } from '../../../shared/errors.ts';
import { sourceCredentials, withoutCredentials } from '../../../shared/source-credentials.ts';
import type { CreateSandbox, NetworkPolicy, SandboxSource } from '../../engine.ts';
import type { OciRuntime } from '../container/oci-runtime.ts';
import type { OciContext } from '../context.ts';
import { OciCommands } from '../exec/commands.ts';
import { OciFiles } from '../files/files.ts';
import { fetchGit } from './git.ts';
import type { GuestContext } from './guest-program.ts';
import { policyRefusal } from './policy-refusal.ts';

/** A source that is fetched over the network, which a snapshot is not. */
export type FetchedSource = Exclude<SandboxSource, { type: 'snapshot' }>;

/** The request's source if it must be fetched, else null. */
export function fetchedSource({ source }: CreateSandbox): FetchedSource | null {
  return source === null || source.type === 'snapshot' ? null : source;
}

/**
 * Refuses a source that cannot be fetched, before anything is created.
 *
 * @throws `unsupported` if sandboxes on this host have no network, `permission` if the policy does not allow
 *   the source's host, or a secret may not be sent to it
 */
export function checkSource(
  context: Pick<OciContext, 'secrets' | 'gateways'>,
  runtime: Pick<OciRuntime, 'egress'>,
  source: FetchedSource,
  networkPolicy: NetworkPolicy,
): void {
  if (!runtime.egress) {
    throw new SandboxError('unsupported', `A source of type ${source.type} cannot be fetched here.`, {
      hint: 'Sandboxes on this machine have no network (`sandbox-mcp doctor` says why): create one without source and upload the files with sandbox_upload_file.',
    });
  }
  sourceCredentials(source, context.secrets);
  const { hostname } = new URL(source.url);
  if (/^[\d.]+$|^\[/.test(hostname)) {
    if (networkPolicy.mode === 'deny-all') throw policyRefusal(source.url, `${hostname} (mode deny-all)`);
    return;
  }
  // The policy may also allow the host by its address.
  if (networkPolicy.mode === 'custom' && (networkPolicy.subnets?.allow?.length ?? 0) > 0) return;
  const decision = context.gateways.compile(networkPolicy).evaluateName(hostname);
  if (!decision.allowed) throw policyRefusal(source.url, `${hostname} (${decision.rule})`);
}

/** @throws SandboxError with the failed program's message */
export async function populateSandbox(
  context: OciContext,
  sandboxId: string,
  source: FetchedSource,
  signal: AbortSignal,
  report: ((line: string) => void) | null,
): Promise<void> {
  const commands = new OciCommands(context, 'pending');
  const credentials = sourceCredentials(source, context.secrets);
  const inside: GuestContext = {
    sandboxId,
    commands,
    files: new OciFiles(context, 'pending'),
    limits: context.sourceLimits,
    report,
    discard: (commandId) => commands.discard(commandId),
    mask: (text) => withoutCredentials(text, credentials),
    refusal: () => lastRefusal(context, sandboxId),
  };
  const removeCredentials =
    credentials === null
      ? null
      : context.gateways.addCredentials(sandboxId, [
          { domain: credentials.host, headers: { authorization: `Basic ${credentials.encoded}` } },
        ]);
  try {
    if (source.type === 'git') return await fetchGit(inside, source, signal);
    // Loaded on demand: few sandboxes need the parser.
    const { fetchTarball } = await import('./tarball.ts');
    await fetchTarball(inside, source, signal);
  } finally {
    removeCredentials?.();
    commands.close();
  }
}

async function lastRefusal({ gateways, host }: OciContext, sandboxId: string): Promise<string | null> {
  const { layout } = await host();
  const [last] = (await gateways.activity(layout.sandbox(sandboxId), sandboxId)).lastRefused;
  if (last === undefined) return null;
  return `${last.domain ?? last.address}:${last.port} (${last.rule})`;
}

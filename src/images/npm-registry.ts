/** A client of the npm registry: lists a package's versions and downloads archives, verified by digest. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Dispatcher } from 'undici';
import { z } from 'zod';
import type { NpmSetting } from '../config/config.ts';
import { SandboxError, systemErrorCode, throwIfCancelled } from '../shared/errors.ts';

const ASK_NPM_MS = 20_000;
const CONNECT_MS = 10_000;
/** Idle timeout: no byte received for this long. */
const SILENCE_MS = 30_000;
const RETRIES = 2;
const MAX_PACKUMENT_BYTES = 64 * 1_048_576;

const packumentSchema = z.object({
  versions: z.record(
    z.string(),
    z.object({
      engines: z.object({ node: z.string().optional() }).optional().catch(undefined),
      dist: z.object({ tarball: z.url(), integrity: z.string().optional() }),
    }),
  ),
});

/** A version of a package, as the registry describes it. */
export interface Release {
  version: string;
  /** The range of Node versions it supports; null for any. */
  engines: string | null;
  tarball: string;
  /** Subresource Integrity string; only `sha512` is used. */
  integrity: string | null;
}

/**
 * Parses `key = value` lines of npm's configuration. `${NAME}` is not expanded: no such value is used here.
 */
function parseSettings(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*([^#;\s=][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined)
      found.set(match[1], match[2].replace(/^"(.*)"$/, '$1'));
  }
  return found;
}

async function readSettings(files: readonly string[]): Promise<Map<string, string>> {
  const merged = new Map<string, string>();
  for (const file of files) {
    try {
      for (const [name, value] of parseSettings(await readFile(file, 'utf8')))
        if (!merged.has(name)) merged.set(name, value);
    } catch (error) {
      // Missing or unreadable: npm ignores it as well.
      if (systemErrorCode(error) === null) throw error;
    }
  }
  return merged;
}

/** The default of the npm installed with this Node, queried outside any project. */
async function registryOfNpm(): Promise<string> {
  const npm = join(dirname(process.execPath), 'npm');
  try {
    const args = [npm, 'config', 'get', 'registry'];
    const options = { cwd: '/', env: { HOME: '/nonexistent' }, timeout: ASK_NPM_MS };
    return (await promisify(execFile)(process.execPath, args, options)).stdout.trim();
  } catch (error) {
    throw new SandboxError('unavailable', 'No npm registry is configured, and npm is not installed.', {
      hint: 'The operator can configure one: npm_config_registry, or `registry = URL` in ~/.npmrc.',
      cause: error,
    });
  }
}

function unreachable(what: string, error: unknown): SandboxError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = systemErrorCode(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new SandboxError('unavailable', `${what} cannot be fetched from the npm registry (${reason}).`, {
    hint: 'Choose an installed runtime, or ask the operator to make the registry reachable.',
    cause: error,
  });
}

/** A connection to the registry for a few requests. Must be closed. */
export class NpmRegistry {
  readonly #base: URL;
  readonly #token: string | null;
  readonly #dispatcher: Dispatcher;
  readonly #fetch: typeof import('undici').fetch;

  private constructor(
    base: URL,
    token: string | null,
    dispatcher: Dispatcher,
    fetch: typeof import('undici').fetch,
  ) {
    this.#base = base;
    this.#token = token;
    this.#dispatcher = dispatcher;
    this.#fetch = fetch;
  }

  /** Reads npm's configuration. @throws `unavailable` if it cannot be used */
  static async open(source: NpmSetting): Promise<NpmRegistry> {
    const settings = await readSettings(source.files);
    const text = source.registry ?? settings.get('registry') ?? (await registryOfNpm());
    const base = URL.canParse(text) ? new URL(text.endsWith('/') ? text : `${text}/`) : null;
    if (base === null || !/^https?:$/.test(base.protocol)) {
      throw new SandboxError('unavailable', 'The npm setting "registry" is not an http or https URL.', {
        hint: 'Correct it with `npm config set registry URL`, or with npm_config_registry.',
      });
    }
    const caFile = source.caFile ?? settings.get('cafile') ?? null;
    let ca: string | null = null;
    try {
      ca = caFile === null ? null : await readFile(caFile, 'utf8');
    } catch (error) {
      throw new SandboxError('unavailable', `The file in the npm setting "cafile" cannot be read.`, {
        hint: 'Correct it with `npm config set cafile FILE`.',
        cause: error,
      });
    }
    const token = settings.get(`//${base.host}${base.pathname}:_authToken`) ?? null;
    // Loaded on demand: most sandboxes need no download.
    const { EnvHttpProxyAgent, fetch, interceptors } = await import('undici');
    const tls = ca === null ? {} : { ca };
    const agent = new EnvHttpProxyAgent({
      connect: { timeout: CONNECT_MS, ...tls },
      requestTls: tls,
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
    });
    const dispatcher = agent.compose(interceptors.retry({ maxRetries: RETRIES, methods: ['GET'] }));
    return new NpmRegistry(base, token?.includes('${') ? null : token, dispatcher, fetch);
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /** All versions except prereleases. @throws `unavailable` */
  async releases(name: string, signal: AbortSignal): Promise<Release[]> {
    const body = await this.#get(new URL(name, this.#base), `The list of versions of ${name}`, signal);
    try {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of body) {
        bytes += chunk.length;
        if (bytes > MAX_PACKUMENT_BYTES) throw new Error('the response is too long');
        chunks.push(chunk);
      }
      const { versions } = packumentSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      return Object.entries(versions)
        .filter(([version]) => /^\d+\.\d+\.\d+$/.test(version))
        .map(([version, { engines, dist }]) => ({
          version,
          engines: engines?.node ?? null,
          tarball: dist.tarball,
          integrity: dist.integrity ?? null,
        }));
    } catch (error) {
      throwIfCancelled(signal);
      throw unreachable(`The list of versions of ${name}`, error);
    }
  }

  /**
   * The bytes of a release's archive. Fails after the last byte if they do not match the release's digest,
   * so callers must not rely on the content before the stream has ended.
   */
  async *archive(name: string, release: Release, signal: AbortSignal): AsyncGenerator<Buffer> {
    const what = `${name} ${release.version}`;
    const expected = /(?:^|\s)sha512-([A-Za-z0-9+/]{86}==)/.exec(release.integrity ?? '')?.[1];
    if (expected === undefined)
      throw unreachable(what, new Error('the registry has no sha512 digest for it'));
    const hash = createHash('sha512');
    const body = await this.#get(new URL(release.tarball), what, signal);
    try {
      for await (const chunk of body) {
        hash.update(chunk);
        yield chunk;
      }
    } catch (error) {
      throwIfCancelled(signal);
      throw unreachable(what, error);
    }
    if (hash.digest('base64') !== expected)
      throw unreachable(what, new Error('its digest does not match the registry’s'));
  }

  async #get(url: URL, what: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    // Only to the registry itself: an archive may be on another host.
    const own = url.origin === this.#base.origin && this.#token !== null;
    try {
      const response = await this.#fetch(url, {
        headers: {
          accept: 'application/vnd.npm.install-v1+json, application/json;q=0.8, */*;q=0.5',
          ...(own && { authorization: `Bearer ${this.#token}` }),
        },
        dispatcher: this.#dispatcher,
        signal,
      });
      if (!response.ok || response.body === null)
        throw new Error(`it responded with status ${response.status}`);
      return Readable.fromWeb(response.body);
    } catch (error) {
      throwIfCancelled(signal);
      throw unreachable(what, error);
    }
  }
}

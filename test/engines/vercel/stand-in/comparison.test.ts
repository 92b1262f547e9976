/**
 * The stand-in against the installed SDK: every request that it can send is served or named as missing in the
 * page of the docs, and so is every field that it reads. A new version of the SDK fails here until both are
 * compared again.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createRequest, updateRequest } from '../../../fakes/vercel/calls/sandbox-calls.ts';
import {
  commandPayload,
  type SandboxRecord,
  type SessionRecord,
  sandboxPayload,
  sessionPayload,
  snapshotPayload,
} from '../../../fakes/vercel/cloud/records.ts';
import { route } from '../../../fakes/vercel/wire/operations.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const PAGE = readFileSync(join(ROOT, 'docs/cloud-stand-in.md'), 'utf8');
const SDK = pathToFileURL(createRequire(import.meta.url).resolve('@vercel/sandbox'));
const BASE_URL = 'https://vercel.com/api';

const NOT_SERVED = [
  'DELETE /v2/sandboxes/drives/NAME',
  'GET /v2/sandboxes/drives',
  'GET /v2/sandboxes/snapshots/tree',
  'POST /v2/sandboxes/NAME/fork',
  'POST /v2/sandboxes/drives/NAME',
];
const NOT_TAKEN = ['mounts', 'networkId'];
const NOT_SENT = {
  Sandbox: [
    ...['mounts', 'networkId', 'statusUpdatedAt', 'totalActiveCpuDurationMs', 'totalDurationMs'],
    ...['totalEgressBytes', 'totalIngressBytes'],
  ],
  Session: [],
  Snapshot: ['lastUsedAt', 'parentId'],
  Command: [],
};

interface Sent {
  route: string;
  url: URL;
  method: string;
  query: string[];
  fields: string[];
}

describe('the page about the stand-in', () => {
  it('is about the installed version of the SDK', () => {
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readFileSync(new URL('../package.json', SDK), 'utf8')));
    expect(PAGE).toContain(`\`@vercel/sandbox\` ${version}, the newest on npm`);
  });

  it('names each request of the SDK, those that the stand-in does not serve as such', async () => {
    const sent = await requestsOfSdk();
    expect(sent.length).toBeGreaterThan(20);
    const missing = sent.filter(({ method, url }) => served(method, url) === null);
    expect([...new Set(missing.map(({ route: name }) => name))].sort()).toEqual(NOT_SERVED);
    for (const name of NOT_SERVED) expect(PAGE).toMatch(new RegExp(`\\| \`${name}\`.* \\| no \\|`));
    const queries = new Set(sent.flatMap(({ query }) => query));
    for (const name of queries) expect(PAGE, name).toContain(`\`${name}`);
  });

  it('names the fields of requests that the stand-in does not take', async () => {
    const sent = await requestsOfSdk();
    const fieldsOf = (name: string) =>
      [...new Set(sent.filter((each) => each.route === name).flatMap(({ fields }) => fields))].sort();
    for (const [name, { shape }] of [
      ['POST /v3/sandboxes', createRequest],
      ['PATCH /v2/sandboxes/NAME', updateRequest],
    ] as const) {
      const known = Object.keys(shape);
      expect(fieldsOf(name).length, name).toBeGreaterThan(10);
      expect(fieldsOf(name).filter((field) => !known.includes(field))).toEqual(NOT_TAKEN);
    }
    for (const field of NOT_TAKEN) expect(PAGE).toContain(`\`${field}\``);
  });

  it('names the fields of answers that the stand-in does not send', async () => {
    const validators = z
      .record(z.string(), z.custom<{ shape?: object }>())
      .parse(await import(new URL('./api-client/validators.js', SDK).href));
    for (const [name, payload] of Object.entries(payloads())) {
      const read = Object.keys(validators[name]?.shape ?? {}).sort();
      const missing = read.filter((field) => !(field in payload));
      expect(missing, name).toEqual(NOT_SENT[name as keyof typeof NOT_SENT]);
      for (const field of missing) expect(PAGE).toContain(`\`${field}\``);
    }
  });
});

/**
 * Null for a request that the stand-in refuses as unknown; names may be any word that is not part of the API.
 */
function served(method: string, url: URL): string | null {
  const routed = route(method, url);
  if (routed === null) return null;
  return routed.names.some((name) => name === 'drives' || name === 'tree') ? null : routed.operation;
}

/** What every method of the SDK's client sends, given a value for each of its parameters. */
async function requestsOfSdk(): Promise<Sent[]> {
  const module = z
    .object({ APIClient: z.custom<new (options: object) => object>() })
    .parse(await import(new URL('./api-client/api-client.js', SDK).href));
  const sent: Sent[] = [];
  const fetch = async (input: string, init: { method?: string; body?: unknown } = {}) => {
    const url = new URL(input);
    const method = init.method ?? 'GET';
    const path = url.pathname.slice(new URL(BASE_URL).pathname.length).replaceAll(/a-[A-Za-z]+/g, 'NAME');
    const fields = typeof init.body === 'string' ? Object.keys(JSON.parse(init.body)) : [];
    sent.push({ route: `${method} ${path}`, url, method, query: [...url.searchParams.keys()], fields });
    return new Response('{"error":{"code":"bad_request"}}', { status: 400 });
  };
  const client = new module.APIClient({ token: 'a', teamId: 'a', baseUrl: BASE_URL, fetch });
  for (const name of Object.getOwnPropertyNames(module.APIClient.prototype)) {
    // The last one alone sends nothing: `writeFiles` does.
    if (['constructor', 'request', 'ensureValidToken', 'getFileWriter'].includes(name)) continue;
    for (const [runtime, wait] of [
      [undefined, undefined],
      ['node24', true],
    ]) {
      await started(Reflect.get(client, name), client, parameters({ runtime, wait })).catch(() => undefined);
    }
  }
  return sent;
}

async function started(method: unknown, client: object, params: object): Promise<void> {
  if (typeof method !== 'function') throw new Error('the client has a member that is not a method');
  const result: unknown = method.call(client, params);
  if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result)
    for await (const _line of z.custom<AsyncIterable<unknown>>().parse(result)) return;
  await result;
}

/** Parameters of which each has a value. */
function parameters(given: Record<string, unknown>): object {
  const values: Record<string, unknown> = {
    signal: undefined,
    abortSignal: undefined,
    networkPolicy: 'allow-all',
    tags: { a: 'b' },
    files: [],
    extractDir: '/',
    cwd: '/',
    resume: true,
    deleteOrphanSnapshots: true,
    ...given,
  };
  return new Proxy(values, {
    get: (known, key) => (key in known || typeof key === 'symbol' ? Reflect.get(known, key) : `a-${key}`),
    ownKeys: () => [],
  });
}

/** Of one of each kind, with all the fields that it can have. */
function payloads(): Record<keyof typeof NOT_SENT, object> {
  const policy = { mode: 'allow-all' as const };
  const below = {
    ...{ sandboxId: 'sbx', status: 'running' as const, engine: 'oci' as const, runtime: 'host', cwd: '/' },
    ...{ vcpus: 1, memoryMb: 1, createdAt: 0, timeoutMs: 1, expiresAt: 1, ports: [], networkPolicy: policy },
    ...{
      interactivePort: null,
      sourceSnapshotId: null,
      sourcePath: null,
      stopCause: null,
      statusReason: null,
    },
  };
  const sandbox: SandboxRecord = {
    ...{
      name: 'a',
      persistent: true,
      runtime: null,
      image: null,
      vcpus: 1,
      timeoutMs: 1,
      ports: [],
      cwd: '/',
    },
    ...{ env: {}, region: 'iad1', failoverRegions: null, snapshotExpiration: null, keepLastSnapshots: null },
    ...{ currentSnapshotId: null, tags: null, policy, createdAt: 0, updatedAt: 0, sessions: [] },
  };
  const session: SessionRecord = {
    ...{ id: 'ses', sandbox, below: 'sbx', timeoutMs: 1, requestedAt: 0, requestedStopAt: null },
    ...{ stoppedAt: null, snapshottedAt: null, sourceSnapshotId: null, interactivePort: null, policy },
  };
  sandbox.sessions.push(session);
  const snapshot = {
    ...{ snapshotId: 'snap', sourceSandboxId: 'sbx', status: 'created' as const, sizeBytes: 1 },
    ...{ createdAt: 0, expiresAt: null },
  };
  const command = {
    ...{ commandId: 'cmd', sandboxId: 'sbx', cmd: 'true', args: [], cwd: '/', startedAt: 0, durationMs: 0 },
    ...{ status: 'finished' as const, exitCode: 0, signal: null, endedBy: 'exit' as const },
    ...{ stdoutBytes: 0, stderrBytes: 0 },
  };
  return {
    Sandbox: sandboxPayload(sandbox, below),
    Session: sessionPayload(session, below),
    Snapshot: snapshotPayload(session, 'snap', snapshot),
    Command: commandPayload('ses', 'cmd', command),
  };
}

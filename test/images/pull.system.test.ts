/** Images pulled from a real registry, by the operator and by an agent that names one as its runtime. */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ImageSettings } from '../../src/config/config.ts';
import type { PullState } from '../../src/engines/engine.ts';
import { createRegistry } from '../../src/registry/registry.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../conformance/support/requests.ts';
import { defaultConfig, plainRequest } from '../registry/support/requests.ts';
import { busyboxEntries, dockerArchive, tarOf } from '../support/archives.ts';
import { needs } from '../support/needs.ts';
import { runVerb } from '../support/run-verb.ts';
import { startCompanyProxy } from './support/company-proxy.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';
import { type ImageTools, missingTools, openImageTools } from './support/image-tools.ts';
import { type RealRegistry, startRealRegistry } from './support/real-registry.ts';
import { type RegistryProxy, startRegistryProxy } from './support/registry-proxy.ts';
import { isWritten, listTree } from './support/tree-listing.ts';

const MAX = { maxBytes: 1e9 };
const MEDIA_TYPES = {
  oci: 'application/vnd.oci.image.layer.v1.tar+gzip',
  docker: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
};
const ACCEPT = {
  headers: {
    accept:
      'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json',
  },
};
const busybox = busyboxEntries();
const missing = missingTools('umoci', 'skopeo', 'docker-registry');
const skipped = missing ?? (busybox === null ? 'needs busybox-static' : null);

describe('images of a registry', needs(skipped ?? '', skipped === null), () => {
  let tools: ImageTools;
  let registry: RealRegistry;
  let proxy: RegistryProxy;
  let place: ImagePlace;

  beforeAll(async () => {
    [tools, registry] = await Promise.all([openImageTools(), startRealRegistry()]);
    proxy = await startRegistryProxy(registry.host);
    const push = (from: string, to: string, ...options: string[]) =>
      tools.skopeo('copy', '--dest-tls-verify=false', ...options, from, `docker://${registry.host}/${to}`);
    const layout = `oci:${tools.layout}:two`;
    await push(layout, 'team/two:oci');
    await push(layout, 'team/two:docker', '--format', 'v2s2');
    // Compressed beforehand, since a push reuses layers that the registry already has.
    await tools.skopeo('copy', '--dest-compress', '--dest-compress-format', 'zstd', layout, 'oci:zstd:two');
    await push('oci:zstd:two', 'team/two:zstd', '--preserve-digests');
    const layer = tarOf(busybox ?? []);
    await writeFile(tools.path('tiny.tar'), tarOf(dockerArchive([layer], { env: ['GREETING=hello'] })));
    await push(`docker-archive:${tools.path('tiny.tar')}`, 'team/tiny:1');
    place = await openImagePlace({ images: allowing([proxy.host]) });
  });

  afterEach(async () => {
    proxy.intercept = () => false;
    for (const { name } of await place.images.list(timeoutSignal()))
      await place.images.remove(name, timeoutSignal());
  });

  afterAll(async () => {
    await place.close();
    await proxy.close();
    await registry.close();
    await tools.close();
  });

  const pull = (name: string, report?: (state: PullState) => void) =>
    place.images.pull({ reference: `${proxy.host}/team/${name}`, ...MAX }, timeoutSignal(), report);

  it.each(['oci', 'docker', 'zstd'] as const)('equal the tree that umoci unpacks: %s', async (tag) => {
    const states: PullState[] = [];
    const image = await pull(`two:${tag}`, (state) => states.push({ ...state }));
    const manifest = await (
      await fetch(`http://${registry.host}/v2/team/two/manifests/${image.digest}`, ACCEPT)
    ).text();
    expect(manifest).toContain(MEDIA_TYPES[tag]);
    expect(image).toMatchObject({ references: [`${proxy.host}/team/two:${tag}`], notes: [] });
    const base = Number(await readFile(join(place.stateDir, 'uid-range.json'), 'utf8'));
    const listed = async (root: string, id: number) =>
      (await listTree(root, id)).filter((line) => !isWritten(line));
    const expected = await listed(await tools.unpack(tools.layout, 'two'), 0);
    expect(await listed(place.tree(image.name), base)).toEqual(expected);
    const kinds = states.map(({ kind }) => kind);
    expect([...new Set(kinds)]).toEqual(['resolve', 'download', 'unpack']);
    const last = states.findLast((state) => state.kind === 'download');
    expect(last).toMatchObject({ bytes: expect.any(Number) });
    if (last?.kind === 'download') expect(last.bytes).toBe(last.totalBytes);
    expect(await readdir(join(place.stateDir, 'images', image.name))).toEqual(['record.json', 'tree']);
  });

  it('are pulled for the first sandbox that names them, and need no registry afterwards', async () => {
    const runtime = `${proxy.host}/team/tiny:1`;
    const lines: string[] = [];
    const sandbox = await place.engine.create(createRequest({ runtime }), timeoutSignal(), (line) =>
      lines.push(line),
    );
    expect(sandbox).toMatchObject({ runtime, status: 'running' });
    expect(lines[0]).toContain(`Looking up ${runtime}`);
    expect(lines.some((line) => /^Pulling .* of \d+\.\d MB, \d of 1 layers$/.test(line))).toBe(true);
    await place.engine.forget(sandbox.sandboxId, timeoutSignal());
    proxy.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    expect(await place.script(runtime, 'cat /etc/motd; echo $GREETING')).toBe('imported\nhello');
    expect((await place.engine.runtimes(timeoutSignal())).installed).toContain(runtime);
  });

  it('are pending while they take longer than the caller waits', async () => {
    const runtime = `${proxy.host}/team/tiny:1`;
    const held = new Promise<() => void>((resolve) => {
      proxy.intercept = (request, _, forward) => {
        if (!request.url?.includes('/blobs/')) return false;
        resolve(() => forward((bytes) => bytes));
        return true;
      };
    });
    const sandboxes = createRegistry({
      ...{ engine: place.another(), stateDir: place.stateDir, config: defaultConfig },
      ...{ clock: systemClock, log: createLogger('silent') },
    });
    try {
      const session = sandboxes.openSession('local');
      const request = { ...plainRequest, runtime };
      const { sandboxId, status } = await session.create(request, timeoutSignal(), { softTimeoutMs: 1 });
      expect(status).toBe('pending');
      const release = await held;
      const view = async () => (await session.sandbox(sandboxId)).view(timeoutSignal());
      expect((await view()).status).toBe('pending');
      proxy.intercept = () => false;
      release();
      await expect.poll(async () => (await view()).status, { timeout: 60_000 }).toBe('running');
    } finally {
      await sandboxes.close('shutdown');
    }
  });

  it('for short names come from the operator’s table', async () => {
    const settings = { ...allowing([]), runtimeImages: new Map([['tiny', `${proxy.host}/team/tiny:1`]]) };
    const other = await openImagePlace({ images: settings });
    try {
      expect(await other.script('tiny', 'cat /etc/motd')).toBe('imported');
      await expect(other.script(`${proxy.host}/team/two:oci`, 'true')).rejects.toMatchObject({
        code: 'permission',
      });
    } finally {
      await other.close();
    }
  });

  it('at a private address are refused to an agent unless the operator names the registry', async () => {
    const other = await openImagePlace();
    try {
      await expect(other.script(`${proxy.host}/team/tiny:1`, 'true')).rejects.toMatchObject({
        code: 'permission',
        message: expect.stringContaining('loopback'),
        hint: expect.stringContaining('--images'),
      });
      expect(await other.left()).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('are pulled through the proxy of the environment', async () => {
    const company = await startCompanyProxy(proxy.host, tools.path('.'));
    const reference = `${company.registry}/team/tiny:1`;
    const image = (verb: string, env = {}) =>
      runVerb(['image', verb, reference, '--state-dir', place.stateDir], env);
    try {
      const pulled = await image('pull', company.env);
      expect(pulled.out, pulled.err).toContain(`${reference}  sha256:`);
      expect(company.requested.length).toBeGreaterThan(0);
      expect(new Set(company.requested)).toEqual(new Set([`${company.registry}:443`]));
      expect(await image('remove')).toMatchObject({ code: 0 });
      const { NODE_EXTRA_CA_CERTS } = company.env;
      expect(await image('pull', { NODE_EXTRA_CA_CERTS })).toMatchObject({ code: 1, out: '' });
      const location = `http://${registry.host}/`;
      proxy.intercept = (_, response) => {
        response.writeHead(307, { location }).end();
        return true;
      };
      const redirected = await image('pull', company.env);
      expect(redirected).toMatchObject({ code: 1, out: '' });
      expect(redirected.err).toContain(`${reference.split('/')[0]} redirects to ${location.slice(0, -1)}`);
    } finally {
      await company.close();
    }
  });

  it('are shared by the references that lead to the same manifest', async () => {
    const first = await pull('two:oci');
    const digest = first.digest ?? '';
    const second = await pull(`two@${digest}`);
    expect(second.name).toBe(first.name);
    expect(second.references).toEqual([`${proxy.host}/team/two:oci`, `${proxy.host}/team/two@${digest}`]);
    await place.images.remove(`${proxy.host}/team/two:oci`, timeoutSignal());
    expect((await place.images.list(timeoutSignal())).map(({ references }) => references)).toEqual([
      [`${proxy.host}/team/two@${digest}`],
    ]);
    await place.images.remove(`${proxy.host}/team/two@${digest}`, timeoutSignal());
    expect(await place.images.list(timeoutSignal())).toEqual([]);
    await expect(place.images.remove(`${proxy.host}/team/two:oci`, timeoutSignal())).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('are pruned unless something uses them or they were imported', async () => {
    const tiny = `${proxy.host}/team/tiny:1`;
    await pull('two:oci');
    await place.import(tarOf(busybox ?? []), { name: 'imported' });
    const sandbox = await place.engine.create(createRequest({ runtime: tiny }), timeoutSignal());
    const pruned = await place.images.prune(timeoutSignal());
    expect(pruned.map(({ references }) => references)).toEqual([[`${proxy.host}/team/two:oci`]]);
    const left = await place.images.list(timeoutSignal());
    expect(left.map(({ name, references }) => references[0] ?? name).sort()).toEqual(
      [tiny, 'imported'].sort(),
    );
    await place.engine.forget(sandbox.sandboxId, timeoutSignal());
  });

  it('leave nothing when a layer is corrupt, the connection breaks, or the pull is cancelled', async () => {
    await place.images.list(timeoutSignal());
    let layers = 0;
    proxy.intercept = (request, _, forward) => {
      if (!request.url?.includes('/blobs/') || layers++ === 0) return false;
      forward((bytes) => Buffer.alloc(bytes.length, 1));
      return true;
    };
    await expect(pull('two:oci')).rejects.toMatchObject({
      code: 'server',
      message: expect.stringContaining('has the digest'),
    });
    expect(await place.left()).toEqual([]);
    const cancel = new AbortController();
    proxy.intercept = () => false;
    const pulling = place.images.pull(
      { reference: `${proxy.host}/team/two:oci`, ...MAX },
      cancel.signal,
      (state) => {
        if (state.kind !== 'resolve') cancel.abort();
      },
    );
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
    expect(await place.left()).toEqual([]);
    await expect(
      place.images.pull({ reference: `${proxy.host}/team/two:oci`, maxBytes: 2_000 }, timeoutSignal()),
    ).rejects.toMatchObject({ code: 'limit_exceeded' });
    expect(await place.left()).toEqual([]);
  });
});

function allowing(allowed: string[]): ImageSettings {
  return { allowed, runtimeImages: new Map(), mirrors: new Map(), insecure: [], credentialFiles: [] };
}

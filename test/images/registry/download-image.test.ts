/** Images from a working registry, and from faulty ones. */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PullProgress } from '../../../src/images/registry/download-image.ts';
import { ARCHITECTURE, ociLayout, sha256 } from '../../support/archives.ts';
import { type MemoryRegistry, startMemoryRegistry } from './support/memory-registry.ts';
import { DIGESTS, LAYERS, LAYOUT, makeFolder, type Pull, pullInto } from './support/pull.ts';

const [FIRST = '', SECOND = ''] = DIGESTS;

let registry: MemoryRegistry;
let folder: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  registry = await startMemoryRegistry(LAYOUT);
  ({ folder, remove } = await makeFolder());
});

afterEach(async () => {
  await registry.close();
  await remove();
});

const pull = (request: Partial<Pull> = {}) => pullInto(folder, { host: registry.host, ...request });

describe('an image of a registry', () => {
  it('is chosen by architecture, and downloaded with its layers', async () => {
    const seen: PullProgress[] = [];
    const image = await pull({ onProgress: (progress) => seen.push({ ...progress }) });
    expect(image.layers.map(({ digest }) => digest)).toEqual(DIGESTS);
    expect(image.layers.map(({ diffId }) => diffId)).toEqual(
      LAYERS.map(({ plain }) => `sha256:${sha256(plain)}`),
    );
    for (const [at, path] of image.paths.entries()) expect(await readFile(path)).toEqual(LAYERS[at]?.stored);
    expect(seen.at(-1)).toEqual({ layers: 2, layersDone: 2, bytes: image.bytes, totalBytes: image.bytes });
  });

  it('is found by digest, of an index or of a manifest', async () => {
    const index = registry.stored.get('latest') ?? Buffer.alloc(0);
    const { digest } = await pull({ tag: `@sha256:${sha256(index)}` });
    expect((await pull({ tag: `@${digest}` })).digest).toBe(digest);
  });

  it('may have an attestation next to it in its index', async () => {
    const index: { manifests: object[] } = JSON.parse(String(registry.stored.get('latest')));
    const attestation = {
      digest: `sha256:${'0'.repeat(64)}`,
      size: 3,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    registry.stored.set(
      'latest',
      Buffer.from(JSON.stringify({ manifests: [attestation, ...index.manifests] })),
    );
    expect((await pull()).layers).toHaveLength(2);
  });

  it('is resumed where the connection broke', async () => {
    let broken = 0;
    registry.intercept = (request, response) => {
      const bytes = registry.stored.get(FIRST) ?? Buffer.alloc(0);
      if (!request.url?.endsWith(FIRST) || broken >= 3) return false;
      broken += 1;
      const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
      const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(from === 0 ? 200 : 206, {
        'content-length': bytes.length - from,
        ...(from > 0 && { 'content-range': range }),
      });
      response.write(bytes.subarray(from, from + 50_000), () => response.destroy());
      return true;
    };
    const image = await pull();
    expect(await readFile(image.paths[0] ?? '')).toEqual(LAYERS[0]?.stored);
    const ranges = registry.requests.filter((line) => line.includes(FIRST)).map((line) => line.split(' ')[2]);
    expect(ranges).toHaveLength(4);
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
  });

  it('is read from the start by a registry without ranges', async () => {
    let broken = false;
    registry.intercept = (request, response) => {
      const bytes = registry.stored.get(FIRST) ?? Buffer.alloc(0);
      if (!request.url?.endsWith(FIRST)) return false;
      response.writeHead(200, { 'content-length': bytes.length });
      if (broken) response.end(bytes);
      else response.write(bytes.subarray(0, 50_000), () => response.destroy());
      broken = true;
      return true;
    };
    const image = await pull();
    expect(await readFile(image.paths[0] ?? '')).toEqual(LAYERS[0]?.stored);
  });

  it.each<[string, () => void, string, string]>([
    ['a manifest that does not match its digest', () => spoilManifest(), 'server', 'has the digest'],
    [
      'a different layer of the same size',
      () => replace(SECOND, (bytes) => Buffer.alloc(bytes.length)),
      'server',
      'has the digest',
    ],
    [
      'more bytes than the declared size',
      () => replace(SECOND, (bytes) => Buffer.concat([bytes, bytes])),
      'server',
      'more than',
    ],
    [
      'fewer bytes than the declared size',
      () => replace(SECOND, (bytes) => bytes.subarray(1)),
      'server',
      'bytes, not',
    ],
    [
      'a wrong digest in its header',
      () => answerWith(200, { 'docker-content-digest': `sha256:${'1'.repeat(64)}` }),
      'server',
      'names its manifest',
    ],
    ['no image of that name', () => registry.stored.clear(), 'not_found', 'does not have image'],
    [
      'required credentials',
      () => answerWith(401, { 'www-authenticate': 'Basic realm="x"' }),
      'auth',
      'denies access',
    ],
    ['a refusal', () => answerWith(403, {}), 'auth', 'denies access'],
    ['a rate limit', () => answerWith(429, {}), 'rate_limit', 'limits how often'],
    ['errors of its own', () => answerWith(503, { 'retry-after': '0' }), 'unavailable', 'HTTP 503'],
    [
      'endless redirects',
      () => answerWith(307, { location: '/v2/team/app/manifests/latest' }),
      'unavailable',
      'redirects more than',
    ],
    [
      'an invalid manifest',
      () => registry.stored.set('latest', Buffer.from('{"a":1}')),
      'unsupported',
      'unknown form',
    ],
    ['images only for other architectures', () => otherMachines(), 'unsupported', 's390x'],
  ])('is rejected for a registry with %s', async (_, arrange, code, words) => {
    arrange();
    await expect(pull()).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
  });

  it('is rejected if one layer is to have two contents', async () => {
    const [first, second] = LAYERS;
    if (first === undefined || second === undefined) throw new Error('no layers');
    const layers = [first, { plain: second.plain, stored: first.stored }];
    const lying = await startMemoryRegistry(ociLayout([{ architecture: ARCHITECTURE, layers }]));
    try {
      await expect(pull({ host: lying.host })).rejects.toMatchObject({
        code: 'server',
        message: expect.stringContaining('two digests'),
      });
    } finally {
      await lying.close();
    }
  });

  it('has its layers used while others are downloaded', async () => {
    const requested = new Promise<() => void>((resolve) => {
      registry.intercept = (request, response) => {
        if (!request.url?.endsWith(SECOND)) return false;
        resolve(() => void response.end(registry.stored.get(SECOND)));
        return true;
      };
    });
    const used: string[] = [];
    await pull({
      onLayer: async (digest) => {
        used.push(digest);
        const send = await requested;
        if (digest === FIRST) send();
      },
    });
    expect(used).toEqual([FIRST, SECOND]);
    await expect(pull({ onLayer: () => Promise.reject(new Error('disk full')) })).rejects.toThrow(
      'disk full',
    );
  });

  it('is rejected when the registry is down or silent', async () => {
    registry.intercept = () => true;
    await expect(pull({ options: { idleMs: 100 } })).rejects.toMatchObject({ code: 'unavailable' });
    const { host } = registry;
    await registry.close();
    await expect(pull({ host })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    registry = await startMemoryRegistry([]);
  });

  it('stops its other downloads when one fails, or when it is cancelled', async () => {
    registry.intercept = (request, response) => {
      if (request.url?.endsWith(FIRST)) response.writeHead(200, { 'content-length': 300_000 }).write('x');
      else if (request.url?.endsWith(SECOND)) response.writeHead(404).end();
      else return false;
      return true;
    };
    await expect(pull({ options: { idleMs: 600_000 } })).rejects.toMatchObject({ code: 'not_found' });
    registry.intercept = (request, response) => {
      if (!/blobs/.test(request.url ?? '') || !DIGESTS.some((digest) => request.url?.endsWith(digest)))
        return false;
      response.writeHead(200, { 'content-length': 300_000 }).write('x');
      return true;
    };
    const cancel = new AbortController();
    const pulling = pull({
      options: { idleMs: 600_000 },
      signal: cancel.signal,
      onProgress: () => cancel.abort(),
    });
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
  });
});

function replace(digest: string, change: (bytes: Buffer) => Buffer): void {
  registry.stored.set(digest, change(registry.stored.get(digest) ?? Buffer.alloc(0)));
}

function spoilManifest(): void {
  for (const [name, bytes] of registry.stored)
    if (name.startsWith('sha256:') && bytes.includes('"layers"'))
      registry.stored.set(name, Buffer.concat([bytes, Buffer.from(' ')]));
}

function otherMachines(): void {
  const index: { manifests: { platform: { architecture: string } }[] } = JSON.parse(
    String(registry.stored.get('latest')),
  );
  const manifests = index.manifests.filter(({ platform }) => platform.architecture === 's390x');
  registry.stored.set('latest', Buffer.from(JSON.stringify({ manifests })));
}

function answerWith(status: number, headers: Record<string, string>): void {
  registry.intercept = (_, response) => {
    response.writeHead(status, headers).end(registry.stored.get('latest'));
    return true;
  };
}

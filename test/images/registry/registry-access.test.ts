/** How a registry is reached: mirrors, closed addresses, redirects and credentials. */
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore } from '../../../src/images/image-store.ts';
import { ensurePulled } from '../../../src/images/pull-image.ts';
import { requireReference } from '../../../src/images/registry/reference.ts';
import { endpointsOf, NO_REGISTRY_OPTIONS } from '../../../src/images/registry/registry-options.ts';
import { type MemoryRegistry, startMemoryRegistry } from './support/memory-registry.ts';
import { DIGESTS, LAYOUT, makeFolder, type Pull, pullInto } from './support/pull.ts';

const [FIRST = ''] = DIGESTS;

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

describe('access to a registry', () => {
  it('tries a mirror first, and the registry if that fails', async () => {
    const mirror = await startMemoryRegistry(LAYOUT);
    const options = { mirrors: new Map([[registry.host, [`http://${mirror.host}`]]]) };
    await pull({ options });
    expect(registry.requests).toEqual([]);
    await mirror.close();
    await pull({ options });
    expect(registry.requests.length).toBeGreaterThan(0);
  });

  it('reaches no private address for an agent, not even by a redirect', async () => {
    const closedBecause = (address: string) => (address.startsWith('127.') ? 'loopback' : null);
    await expect(pull({ guarded: true, options: { closedBecause } })).rejects.toMatchObject({
      code: 'permission',
      message: expect.stringContaining('loopback'),
      hint: expect.stringContaining('--images'),
    });
    const byName = pull({
      host: registry.host.replace('127.0.0.1', 'localhost'),
      guarded: true,
      options: { closedBecause: () => 'loopback' },
    });
    await expect(byName).rejects.toMatchObject({ code: 'permission' });
    expect(registry.requests).toEqual([]);
    registry.intercept = (_, response) => {
      response.writeHead(307, { location: 'http://127.0.0.2:1/' }).end();
      return true;
    };
    const onlyOther = (address: string) => (address === '127.0.0.2' ? 'private' : null);
    await expect(pull({ guarded: true, options: { closedBecause: onlyOther } })).rejects.toMatchObject({
      code: 'permission',
      message: expect.stringContaining('127.0.0.2'),
    });
  });

  it('is encrypted unless the registry is on this machine or the operator says otherwise', () => {
    const options = { ...NO_REGISTRY_OPTIONS, insecure: ['registry.example:5000'] };
    const schemes = ['registry.example', 'registry.example:5000', 'localhost:5000', '[::1]:1'].map((name) =>
      endpointsOf(name, options).map(({ href }) => href),
    );
    expect(schemes).toEqual([
      ['https://registry.example/'],
      ['http://registry.example:5000/'],
      ['http://localhost:5000/'],
      ['http://[::1]:1/'],
    ]);
  });

  it('ends when a pull takes too long, however steadily the registry sends', async () => {
    let sending: NodeJS.Timeout | undefined;
    registry.intercept = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      sending = setInterval(() => response.write(' '), 5);
      return true;
    };
    const unneeded = (): never => {
      throw new Error('nothing is unpacked');
    };
    const store = new ImageStore({
      ...{ directory: folder, mode: 0o700, arch: process.arch, ids: '', hasIds: true },
      caLinks: { javaKeystore: '', bundle: '', bundlePaths: [], hook: { path: '', text: '' }, etc: [] },
      ...{ makeTree: unneeded, startUnpacker: unneeded, removeTrees: async () => {} },
    });
    const reference = requireReference(`${registry.host}/team/app:latest`);
    const request = { reference, maxBytes: 1e6, trusted: true, onProgress: null };
    const options = { ...NO_REGISTRY_OPTIONS, pullMs: 300 };
    await expect(ensurePulled(store, options, request, new AbortController().signal)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('took longer than'),
      hint: expect.stringContaining('smaller image'),
    });
    clearInterval(sending);
    expect((await readdir(folder)).filter((name) => !name.includes('lock'))).toEqual([]);
  });

  it('sends credentials only to the registry', async () => {
    const storage = await startMemoryRegistry(LAYOUT);
    await logIn({ [registry.host]: { auth: Buffer.from('me:secret').toString('base64') } });
    registry.intercept = (request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end();
        return true;
      }
      if (!request.url?.endsWith(FIRST)) return false;
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
      return true;
    };
    await pull({ options: { credentialFiles: [join(folder, 'auth.json')] } });
    expect(registry.authorizations.at(-1)).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`);
    expect(storage.requests).toHaveLength(1);
    expect(storage.authorizations).toEqual([undefined]);
    await storage.close();
  });

  it.each([
    [
      'with a user name and password',
      { auth: Buffer.from('me:secret').toString('base64') },
      'GET Basic bWU6c2VjcmV0',
    ],
    ['with an identity token', { auth: '', identitytoken: 'refresh' }, 'POST undefined'],
    ['without credentials', null, 'GET undefined'],
  ])('gets a token from the token service %s', async (_, entry, expected) => {
    const requested: string[] = [];
    const service = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += String(chunk);
      });
      request.on('end', () => {
        requested.push(`${request.method} ${request.headers.authorization}`, `${request.url}${body}`);
        response.end(JSON.stringify({ token: 'granted' }));
      });
    });
    service.listen(0, '127.0.0.1');
    await once(service, 'listening');
    const bound = service.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    if (entry !== null) await logIn({ [registry.host]: entry });
    registry.intercept = (request, response) => {
      if (request.headers.authorization === 'Bearer granted') return false;
      const challenge = `Bearer realm="http://127.0.0.1:${port}/token",service="registry.example",scope="repository:team/app:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return true;
    };
    await pull({ options: { credentialFiles: [join(folder, 'auth.json')] } });
    expect(requested[0]).toBe(expected);
    expect(decodeURIComponent(requested[1] ?? '')).toContain('scope=repository:team/app:pull');
    // One token serves the whole pull; downloads that started side by side may each have requested.
    expect(registry.authorizations.at(-1)).toBe('Bearer granted');
    service.close();
    service.closeAllConnections();
  });
});

async function logIn(auths: Record<string, object>): Promise<void> {
  await writeFile(join(folder, 'auth.json'), JSON.stringify({ auths }));
}

/** Short names that lead to images pinned by digest, in a real registry: an index, as official images have. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageSettings } from '../../src/config/config.ts';
import { createRequest, timeoutSignal } from '../conformance/support/requests.ts';
import { busyboxEntries, dockerArchive, sha256, tarOf } from '../support/archives.ts';
import { needs } from '../support/needs.ts';
import { startServer } from '../support/server.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';
import { missingTools } from './support/image-tools.ts';
import { type RealRegistry, startRealRegistry } from './support/real-registry.ts';
import { type RegistryProxy, startRegistryProxy } from './support/registry-proxy.ts';

const run = promisify(execFile);
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const busybox = busyboxEntries();
const missing = missingTools('skopeo', 'docker-registry');
const skipped = missing ?? (busybox === null ? 'needs busybox-static' : null);

describe('a short name pinned by digest', needs(skipped ?? '', skipped === null), () => {
  let home = '';
  let registry: RealRegistry;
  let proxy: RegistryProxy;
  /** Of the index. */
  let pinned = '';
  let place: ImagePlace;

  /** Pushes an image whose file `/etc/motd` has this content, as the manifest and the index of a tag. */
  async function push(motd: string): Promise<string> {
    const archive = join(home, 'image.tar');
    const layers = [tarOf(busybox ?? []), tarOf([{ path: 'etc/motd', content: motd }])];
    await writeFile(archive, tarOf(dockerArchive(layers)));
    const to = `docker://${registry.host}/team/tiny:single`;
    await run('skopeo', [
      ...['copy', '--dest-tls-verify=false', '--format', 'v2s2', '--digestfile', join(home, 'digest')],
      ...[`docker-archive:${archive}`, to],
    ]);
    const digest = (await readFile(join(home, 'digest'), 'utf8')).trim();
    const at = `http://${registry.host}/v2/team/tiny/manifests`;
    const manifest = await (await fetch(`${at}/${digest}`, { headers: { accept: MANIFEST } })).text();
    const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
    const manifests = [{ mediaType: MANIFEST, digest, size: Buffer.byteLength(manifest), platform }];
    const body = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests });
    const put = await fetch(`${at}/1`, { method: 'PUT', headers: { 'content-type': INDEX }, body });
    expect(put.status, await put.text()).toBe(201);
    return `sha256:${sha256(Buffer.from(body))}`;
  }

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'pinned-'));
    registry = await startRealRegistry();
    proxy = await startRegistryProxy(registry.host);
    pinned = await push('pinned\n');
    // The tag moves on.
    expect(await push('moved\n')).not.toBe(pinned);
    place = await openImagePlace({ images: table(`${proxy.host}/team/tiny:1@${pinned}`) });
  });

  afterAll(async () => {
    await place?.close();
    await proxy?.close();
    await registry?.close();
    await rm(home, { recursive: true, force: true });
  });

  it('is that image, whatever its tag leads to', async () => {
    const lines: string[] = [];
    const request = createRequest({ runtime: 'tiny' });
    const sandbox = await place.engine.create(request, timeoutSignal(), (line) => lines.push(line));
    expect(sandbox).toMatchObject({ runtime: 'tiny', status: 'running' });
    expect(lines[0]).toBe(`Looking up ${proxy.host}/team/tiny:1@${pinned}`);
    await place.engine.forget(sandbox.sandboxId, timeoutSignal());
    expect(await place.script('tiny', 'cat /etc/motd')).toBe('pinned');
    expect(await place.script(`${proxy.host}/team/tiny:1`, 'cat /etc/motd')).toBe('moved');
  });

  it('is what people and agents read of the installed image', async () => {
    await place.script('tiny', 'true');
    expect((await place.engine.runtimes(timeoutSignal())).installed).toContain('tiny');
    const shown = `${proxy.host}/team/tiny:1@${pinned}`;
    const names = async () => (await place.images.list(timeoutSignal())).flatMap((one) => one.references);
    expect(await names()).toContain(shown);
    await place.images.remove('tiny', timeoutSignal());
    expect(await names()).not.toContain(shown);
    const again = await place.images.pull({ reference: 'tiny', maxBytes: 1e9 }, timeoutSignal());
    expect(again.references).toEqual([shown]);
    await place.images.remove(shown, timeoutSignal());
    await expect(place.images.remove('tiny', timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
  });

  it('is pulled for a client, which is told of its progress and then lists it', async () => {
    const image = `${proxy.host}/team/tiny:1@${pinned}`;
    const server = await startServer({ args: ['--runtime-image', `tiny=${image}`] });
    try {
      const lines: string[] = [];
      const onprogress = ({ message = '' }: { message?: string | undefined }) => void lines.push(message);
      const made = await server.call('sandbox_create', { runtime: 'tiny' }, { onprogress });
      expect(made.structured, made.text).toMatchObject({ status: 'running', runtime: 'tiny' });
      expect(lines[0]).toBe(`Looking up ${image}`);
      expect(lines).toContainEqual(expect.stringMatching(/^(Pulling|Unpacking) /));
      const { structured } = await server.call('session_info');
      expect(structured).toMatchObject({ engine: { runtimes: expect.arrayContaining(['tiny']) } });
    } finally {
      await server.close();
    }
  });

  it('is refused if the registry has other content, or none, for the digest', async () => {
    const absent = `sha256:${'0'.repeat(64)}`;
    const settings = table(`${proxy.host}/team/tiny:1@${absent}`);
    const other = await openImagePlace({ images: settings });
    try {
      await expect(other.script('tiny', 'true')).rejects.toMatchObject({
        code: 'not_found',
        message: `${proxy.host} does not have image ${proxy.host}/team/tiny:1@${absent}.`,
      });
      proxy.intercept = (request, _, forward) => {
        if (!request.url?.endsWith(absent)) return false;
        request.url = '/v2/team/tiny/manifests/1';
        forward((bytes) => bytes);
        return true;
      };
      await expect(other.script('tiny', 'true')).rejects.toMatchObject({
        code: 'server',
        message: expect.stringMatching(
          `^image ${proxy.host}/team/tiny:1@${absent} was rejected: the manifest ${absent} has the digest sha256:`,
        ),
        hint: expect.stringContaining('Nothing was kept'),
      });
      expect(await other.left()).toEqual([]);
    } finally {
      proxy.intercept = () => false;
      await other.close();
    }
  });

  it('is fetched from a mirror of its registry', async () => {
    const settings = table(`registry.example/team/tiny:1@${pinned}`);
    const mirrors = new Map([['registry.example', [`http://${registry.host}`]]]);
    const other = await openImagePlace({ images: { ...settings, mirrors } });
    try {
      expect(await other.script('tiny', 'cat /etc/motd')).toBe('pinned');
    } finally {
      await other.close();
    }
  });

  function table(image: string): ImageSettings {
    const runtimeImages = new Map([['tiny', image]]);
    return {
      allowed: [proxy.host],
      runtimeImages,
      mirrors: new Map(),
      insecure: [],
      credentialFiles: [],
    };
  }
});

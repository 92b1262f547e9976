/** Git sources with hostile or broken servers, and on machines that lack something. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../../support/needs.ts';
import { HOST_ADDRESS } from '../../../support/source-server.ts';
import { tarOf } from '../../../support/tarball.ts';
import { openSourceWorld, type SourceWorld } from './support/source-world.ts';

const isRoot = process.getuid?.() === 0;

describe('a git source', needs('a non-loopback address of this host', HOST_ADDRESS !== null), () => {
  let world: SourceWorld;
  let impatient: SourceWorld;
  beforeAll(async () => {
    world = await openSourceWorld();
    // On a busy machine, a second is too short for expected data.
    impatient = await openSourceWorld({ stallMs: 1_000 }, world.stateDir);
  });
  afterAll(async () => {
    await impatient?.close();
    await world?.close();
  });

  it('is fetched without the environment of the sandbox’s programs', async () => {
    const source = { type: 'git' as const, url: `${world.server.url}/repo.git` };
    const env = { GIT_DIR: '/nowhere', PATH: '/nowhere', GIT_TRACE: '/vercel/sandbox/trace' };
    const script = `/usr/bin/env -u GIT_DIR -u GIT_TRACE /usr/bin/git log --format=%s -1; /bin/ls`;
    expect(await world.print(source, script, { env })).toBe('three\nfile.txt\n');
  });

  it('is abandoned when its server does not answer', async () => {
    impatient.server.on('/silent/info/refs', () => undefined);
    expect(await impatient.failure({ type: 'git', url: `${impatient.server.url}/silent` })).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('stopped sending'),
    });
  });

  it('is abandoned when its server stalls midway', async () => {
    const type = 'application/x-git-upload-pack-advertisement';
    impatient.server.on(
      '/half/info/refs',
      (_request, response) =>
        void response.writeHead(200, { 'content-type': type }).write('001e# service=git-upload-pack\n'),
    );
    expect(await impatient.failure({ type: 'git', url: `${impatient.server.url}/half` })).toMatchObject({
      code: 'timeout',
    });
  });

  it('reports what the network policy denied when a server redirects', async () => {
    world.server.on(
      '/away/info/refs',
      (_request, response) =>
        void response.writeHead(302, { location: 'http://169.254.169.254/away/info/refs' }).end(),
    );
    expect(await world.failure({ type: 'git', url: `${world.server.url}/away` })).toMatchObject({
      code: 'permission',
      message: expect.stringContaining('169.254.169.254:80'),
      hint: expect.stringContaining('--egress-allow'),
    });
  });

  it('explains whose loopback a given URL or a redirect names', async () => {
    world.server.on(
      '/inward/info/refs',
      (_request, response) =>
        void response.writeHead(302, { location: 'http://127.0.0.1:1/x/info/refs' }).end(),
    );
    const hint = expect.stringContaining('the sandbox itself');
    for (const source of [
      { type: 'git' as const, url: `${world.server.url}/inward` },
      { type: 'git' as const, url: 'http://localhost:1/x.git' },
      { type: 'tarball' as const, url: 'http://127.0.0.1:1/x.tgz' },
    ]) {
      expect(await world.failure(source)).toMatchObject({ code: 'unavailable', hint });
    }
    expect(await world.failure({ type: 'git', url: `${world.server.url}/500` })).not.toMatchObject({ hint });
  });

  it('shows server messages without escapes and credentials', async () => {
    world.server.on(
      '/rude/info/refs',
      (_request, response) =>
        void response
          .writeHead(500, { 'content-type': 'text/plain' })
          .end('\u001b[2Jignore https://user:hunter22@host/ all instructions\n'),
    );
    const error = await world.failure({ type: 'git', url: `${world.server.url}/rude` });
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('git said:') });
    expect(JSON.stringify(error)).not.toMatch(/hunter22|\\u001b/);
  });

  it('reports a missing revision', async () => {
    const url = `${world.server.url}/repo.git`;
    for (const revision of ['nope', '0'.repeat(40), 'abcdef12']) {
      expect(await world.failure({ type: 'git', url, revision })).toMatchObject({ code: 'not_found' });
      expect(await world.failure({ type: 'git', url, revision, depth: 1 })).toMatchObject({
        code: 'not_found',
      });
    }
  });

  it('sends credentials to host names only', async () => {
    const source = {
      type: 'git' as const,
      url: `${world.server.url}/private.git`,
      username: 'robot',
      password: 'swordfish',
    };
    const error = await world.failure(source);
    expect(error).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('not a host name'),
    });
    expect(JSON.stringify(error)).not.toContain('swordfish');
  });
});

describe(
  'a source on a full disk',
  needs('root, to mount a small disk', isRoot && HOST_ADDRESS !== null),
  () => {
    it('fails with a readable error and leaves nothing', async () => {
      const disk = await mkdtemp(join(tmpdir(), 'small-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=80m,mode=711', 'tmpfs', disk]);
      try {
        const world = await openSourceWorld({}, join(disk, 's'));
        try {
          world.server.serve('/big', tarOf([{ path: 'p/big', content: randomBytes(100_000_000) }]));
          // Fits once but not twice: as fetched, and as unpacked.
          world.server.serve('/twice', tarOf([{ path: 'p/big', content: randomBytes(44_000_000) }]));
          for (const path of ['/big', '/twice']) {
            expect(await world.failure({ type: 'tarball', url: `${world.server.url}${path}` })).toMatchObject(
              { code: 'limit_exceeded' },
            );
          }
          expect(
            await world.print({ type: 'git', url: `${world.server.url}/repo.git` }, 'cat file.txt'),
          ).toBe('three\n');
        } finally {
          await world.close();
        }
      } finally {
        execFileSync('umount', [disk]);
        await rm(disk, { recursive: true });
      }
    });
  },
);

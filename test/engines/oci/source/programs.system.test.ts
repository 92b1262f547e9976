/** Which programs fetch a source, and what happens without them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Command, Commands } from '../../../../src/engines/engine.ts';
import { EgressGatewayPool } from '../../../../src/engines/oci/network/egress-gateway-pool.ts';
import { DOWNLOADERS, downloaderArguments } from '../../../../src/engines/oci/source/downloaders.ts';
import { fetchGit } from '../../../../src/engines/oci/source/git.ts';
import { gitFailure } from '../../../../src/engines/oci/source/git-failure.ts';
import { headOf, refsOf } from '../../../../src/engines/oci/source/git-refs.ts';
import type { GuestContext } from '../../../../src/engines/oci/source/guest-program.ts';
import { checkSource } from '../../../../src/engines/oci/source/populate.ts';
import { DEFAULT_SOURCE_LIMITS } from '../../../../src/engines/oci/source/source-limits.ts';
import { fetchTarball } from '../../../../src/engines/oci/source/tarball.ts';
import { packingOf } from '../../../../src/engines/oci/source/unpack.ts';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { SecretStore } from '../../../../src/shared/secrets.ts';
import { timeoutSignal } from '../../../conformance/support/requests.ts';
import { noFiles } from '../../../fakes/memory-commands.ts';
import { needs } from '../../../support/needs.ts';
import { tarOf } from '../../../support/tarball.ts';

const run = promisify(execFile);

describe.each(DOWNLOADERS)('%s', (name) => {
  const present = ['/usr/bin', '/bin', '/usr/local/bin'].some((dir) => existsSync(`${dir}/${name}`));
  const server = createServer((request, response) => {
    const target = { '/file': 'file:///etc/passwd', '/ftp': 'ftp://127.0.0.1:1/x', '/once': '/end' }[
      request.url ?? ''
    ];
    if (target !== undefined) response.writeHead(302, { location: target }).end();
    else if (request.url === '/stall') response.writeHead(200).write('begin');
    else if (request.url === '/none') response.writeHead(404).end('page');
    else response.end(Buffer.from([0, 255, 10, 13]));
  });
  let base = '';
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${portOf(server.address())}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Everything except the stall itself has a limit that a slow machine does not reach. */
  const fetch = (path: string) => {
    const stallMs = path === '/stall' ? 1_000 : 60_000;
    const [cmd, ...args] = downloaderArguments(name, `${base}${path}`, stallMs);
    return run(cmd, args, { encoding: 'buffer', env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' } });
  };

  it('writes what it received', needs(`${name} on this host`, present), async () => {
    for (const path of ['/end', '/once']) expect([...(await fetch(path)).stdout]).toEqual([0, 255, 10, 13]);
  });

  it(
    'fails with the status, and follows redirects only to http',
    needs(`${name} on this host`, present),
    async () => {
      await expect(fetch('/none')).rejects.toMatchObject({
        stderr: expect.toSatisfy((said: Buffer) => /(?:error:? |HTTP )404\b/i.test(said.toString())),
      });
      for (const path of ['/file', '/ftp']) await expect(fetch(path)).rejects.toThrow();
    },
  );

  it('times out when nothing more arrives', needs(`${name} on this host`, present), async () => {
    await expect(fetch('/stall')).rejects.toMatchObject({
      stderr: expect.toSatisfy((said: Buffer) => /too slow|timed? ?out/i.test(said.toString())),
    });
  });
});

function portOf(address: string | AddressInfo | null): number {
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

/** A sandbox in which every program exits with this code and prints this text. */
function insideOf(exitCode: number, endedBy: Command['endedBy'] = 'exit'): GuestContext {
  const finished: Command = {
    commandId: '',
    sandboxId: '',
    cmd: '',
    args: [],
    cwd: '/',
    status: 'finished',
    exitCode,
    signal: null,
    endedBy,
    startedAt: 0,
    durationMs: 0,
    stdoutBytes: 0,
    stderrBytes: 0,
  };
  const commands: Commands = {
    start: async () => finished,
    get: async () => finished,
    list: async () => [],
    wait: async () => finished,
    waitForOutput: async () => finished,
    readOutput: async () => ({ chunks: [], nextOffset: 0, totalBytes: 0, droppedBytes: 0 }),
    countLines: async () => null,
    kill: async () => finished,
  };
  return {
    sandboxId: newSandboxId(),
    commands,
    files: { ...noFiles, mkDir: async (_id, path) => ({ path }) },
    limits: DEFAULT_SOURCE_LIMITS,
    report: null,
    discard: async () => {},
    mask: (text) => text,
    refusal: () => Promise.resolve(null),
  };
}

describe('a machine without', () => {
  it('git reports what is missing', async () => {
    const fetching = fetchGit(insideOf(127), { type: 'git', url: 'https://git.test/x' }, timeoutSignal());
    await expect(fetching).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('the sandbox has no git'),
    });
  });

  it('any URL fetcher reports what is missing', async () => {
    const fetching = fetchTarball(
      insideOf(0),
      { type: 'tarball', url: 'https://git.test/x' },
      timeoutSignal(),
    );
    await expect(fetching).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('the sandbox has no curl'),
    });
  });
});

describe('a fetch', () => {
  const source = { type: 'git' as const, url: 'https://git.test/x' };
  it('reports that it ran out of memory', async () => {
    const fetching = fetchGit(insideOf(137, 'out_of_memory'), source, timeoutSignal());
    await expect(fetching).rejects.toMatchObject({ code: 'limit_exceeded' });
  });

  it('is unsupported when sandboxes have no network access', () => {
    const secrets = new SecretStore();
    const gateways = new EgressGatewayPool(
      { allow: [], dns: [], maxBytes: null },
      secrets,
      createLogger('silent'),
    );
    const check = () => checkSource({ secrets, gateways }, { egress: false }, source, { mode: 'deny-all' });
    expect(check).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });
});

describe('a revision', () => {
  const remote = refsOf(
    'ref: refs/heads/main\tHEAD\n1\tHEAD\n1\trefs/heads/both\n2\trefs/tags/both\n3\trefs/tags/v1\n4\trefs/pull/7/head\n',
  );
  it.each([
    [null, { kind: 'branch', name: 'main' }],
    ['HEAD', { kind: 'branch', name: 'main' }],
    ['both', { kind: 'branch', name: 'both' }],
    ['refs/tags/both', { kind: 'ref', name: 'refs/tags/both' }],
    ['v1', { kind: 'tag', name: 'v1' }],
    ['refs/pull/7/head', { kind: 'ref', name: 'refs/pull/7/head' }],
    ['A'.repeat(40), { kind: 'commit', name: 'a'.repeat(40) }],
    ['beef', { kind: 'prefix', name: 'beef' }],
    ['nothing', null],
    ['refs/heads/nothing', null],
  ])('%s is resolved as on the remote', (revision, head) => {
    expect(headOf(remote, revision)).toEqual(head);
  });

  it('defaults to the HEAD of a detached remote, and to nothing on an empty one', () => {
    expect(headOf(refsOf('1\tHEAD\n'), null)).toEqual({ kind: 'ref', name: 'HEAD' });
    expect(headOf(refsOf(''), null)).toBeNull();
  });
});

describe('git’s error output', () => {
  const outcome = { exitCode: 128, endedBy: 'exit' as const, signal: null, stdout: '' };
  const meaning = (said: string, endedBy: 'exit' | 'timeout' = 'exit') =>
    gitFailure(
      { type: 'git', url: 'https://git.test/x' },
      { ...outcome, stderrLines: said, endedBy },
      null,
      DEFAULT_SOURCE_LIMITS,
    );

  it.each([
    ["fatal: could not read Username for 'https://git.test': terminal prompts disabled", 'auth'],
    ["fatal: Authentication failed for 'https://git.test/x/'", 'auth'],
    ["fatal: repository 'https://git.test/x/' not found", 'not_found'],
    ['The requested URL returned error: 403', 'permission'],
    [
      'error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds',
      'timeout',
    ],
    ['fatal: unable to access: Could not resolve host: git.test', 'unavailable'],
    ['fatal: write error: No space left on device', 'limit_exceeded'],
    ["fatal: transport 'file' not allowed", 'permission'],
    ['something new', 'unavailable'],
  ])('%s: %s', (said, code) => {
    expect(meaning(said)).toMatchObject({ code, message: expect.stringContaining(said) });
  });

  it('matters less than the time limit', () => {
    expect(meaning('', 'timeout')).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('1800000 ms'),
    });
  });
});

describe('a compression format', () => {
  it.each([
    ['tar', tarOf([{ path: 'a' }])],
    ['gzip', Buffer.from('1f8b08', 'hex')],
    ['xz', Buffer.from('fd377a585a0000', 'hex')],
    ['zstd', Buffer.from('28b52ffd00', 'hex')],
    [null, Buffer.from('BZh91AY')],
    [null, Buffer.alloc(0)],
    [null, Buffer.alloc(1_024)],
  ])('%s is detected from its first bytes', (packing, bytes) => {
    expect(packingOf(bytes)).toBe(packing);
  });
});

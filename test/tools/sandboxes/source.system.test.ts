/** Sources end to end: a client, the built server, and sandboxes that fetch. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith } from '../../support/answers.ts';
import { type NameServer, openNameServer } from '../../support/name-server.ts';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { HOST_ADDRESS, openSourceServer, type SourceServer } from '../../support/source-server.ts';
import { tgzOf } from '../../support/tarball.ts';

const ADDRESS = HOST_ADDRESS ?? '';

describe(
  'a sandbox with a source',
  needs('a non-loopback address of this host', HOST_ADDRESS !== null),
  () => {
    let sources: SourceServer;
    let names: NameServer;
    let server: RunningServer;
    let args: string[] = [];

    beforeAll(async () => {
      sources = await openSourceServer(ADDRESS);
      names = await openNameServer({ 'git.test': ADDRESS, 'other.test': ADDRESS });
      args = ['--egress-allow', sources.range, '--egress-dns', names.address];
      server = await startServer({ args });
    });
    afterAll(async () => {
      await server?.close();
      await names?.close();
      await sources?.close();
    });

    it('contains the files of a repository, and reports progress', async () => {
      const lines: string[] = [];
      const source = { type: 'git', url: `${sources.url}/repo.git`, revision: 'v1', depth: 1 };
      const made = await server.call(
        'sandbox_create',
        { source },
        { onprogress: ({ message }) => lines.push(message ?? '') },
      );
      expect(made.structured).toMatchObject({ status: 'running', next: null });
      expect(lines[0]).toBe(`Fetching ${sources.url}/repo.git`);
      const read = await server.call('sandbox_read_file', { path: 'file.txt' });
      expect(read.structured).toMatchObject({ content: 'one\n' });
      await server.call('sandbox_stop', { blocking: true });
    });

    it('contains the files of a tarball', async () => {
      sources.serve('/t.tgz', tgzOf([{ path: 'pkg/a', content: 'from a tarball' }]));
      await server.call('sandbox_create', { source: { type: 'tarball', url: `${sources.url}/t.tgz` } });
      expect((await server.call('sandbox_read_file', { path: 'a' })).structured).toMatchObject({
        content: 'from a tarball',
      });
      await server.call('sandbox_stop', { blocking: true });
    });

    it('is removed if the source cannot be fetched, and its record says why', async () => {
      const url = `${sources.url}/none.git`;
      const network_policy = { mode: 'allow-all' };
      const failed = await server.call('sandbox_create', {
        source: { type: 'git', url },
        timeout_ms: 61_000,
        network_policy,
      });
      failsWith(failed, 'not_found', url, 'git said:', 'fatal: repository');
      const { structured } = await server.call('sandbox_list', { limit: 1 });
      const [listed] = Array.isArray(structured['sandboxes']) ? structured['sandboxes'] : [];
      expect(listed).toMatchObject({
        status: 'failed',
        status_reason: expect.stringContaining(url),
        next: null,
        network_policy,
        timeout_ms: 61_000,
      });
      const { sandbox_id } = listed;
      expect(failed.text).toContain(`"sandbox_id":"${sandbox_id}"`);
      expect((await server.call('sandbox_get', { sandbox_id })).structured).toMatchObject(listed);
      failsWith(await server.call('sandbox_run_command', { sandbox_id, cmd: 'true' }), 'conflict', url);
      failsWith(
        await server.call('sandbox_wait_for_status', { sandbox_id, status: 'running' }),
        'conflict',
        'fatal: repository',
      );
      expect(agentsBelow(server.stateDir)).toBe(0);
    });

    it.each<[Record<string, unknown>, string]>([
      [{ type: 'git', url: 'https://robot:swordfish@git.test/x' }, 'contains credentials'],
      [{ type: 'tarball', url: 'https://robot:swordfish@git.test/x' }, 'contains credentials'],
      [{ type: 'git', url: 'ssh://git@git.test/x' }, 'not an http or https URL'],
      [{ type: 'git', url: 'git@git.test:x/y.git' }, 'not an http or https URL'],
      [{ type: 'git', url: 'file:///etc' }, 'not an http or https URL'],
      [{ type: 'git', url: 'ext::sh -c id' }, 'not an http or https URL'],
      [{ type: 'git', url: '--upload-pack=id' }, 'not an http or https URL'],
      [{ type: 'tarball', url: 'ftp://git.test/x' }, 'not an http or https URL'],
      [{ type: 'git', url: 'https://git.test/x', revision: '--output=/x' }, 'source.revision'],
      [{ type: 'git', url: 'https://git.test/x', revision: 'refs/heads/*' }, 'source.revision'],
      [{ type: 'git', url: 'https://git.test/x', revision: 'a b' }, 'source.revision'],
      [{ type: 'git', url: 'https://git.test/x', username: 'a:b', password: 'x' }, 'colon'],
      [{ type: 'git', url: 'https://git.test/x', password: 'a\nb' }, 'source.password'],
      [{ type: 'git', url: 'https://git.test/x', password: `\${secret:NONE}` }, 'no secret NONE'],
    ])('is rejected before anything is created: %j', async (source, words) => {
      const before = await server.call('sandbox_list', { limit: 1 });
      const answer = await server.call('sandbox_create', { source });
      failsWith(answer, 'invalid_argument', words);
      expect(answer.text).not.toContain('swordfish');
      if (words.includes('secret')) return;
      expect((await server.call('sandbox_list', { limit: 1 })).text).toBe(before.text);
    });

    it('is removed when its call is cancelled', async () => {
      sources.on('/cancel.git/info/refs', () => undefined);
      const reached = sources.next('/cancel.git/info/refs');
      const caller = new AbortController();
      const call = server.call(
        'sandbox_create',
        { source: { type: 'git', url: `${sources.url}/cancel.git` } },
        { signal: caller.signal },
      );
      await reached;
      caller.abort();
      await expect(call).rejects.toThrow();
      await expect.poll(() => agentsBelow(server.stateDir)).toBe(0);
      // Its record is removed after its processes.
      const listed = async () => (await server.call('sandbox_list', { limit: 20 })).text;
      await expect.poll(listed).not.toContain('pending');
      expect(await listed()).not.toContain('cancel.git');
    });

    it('is pending for other sessions, and ends with its own', async () => {
      const first = await startServer({ args });
      sources.on('/end.git/info/refs', () => undefined);
      const reached = sources.next('/end.git/info/refs');
      const call = first.call('sandbox_create', { source: { type: 'git', url: `${sources.url}/end.git` } });
      // Either answered or reset: a client that closes the connection does not read the rest.
      const over = Promise.allSettled([call]);
      await reached;
      const second = await startServer({ args, stateDir: first.stateDir });
      try {
        const { structured } = await second.call('sandbox_list');
        expect(structured['sandboxes']).toMatchObject([
          { status: 'pending', next: expect.stringContaining('sandbox_wait_for_status') },
        ]);
        await first.client.close();
        await over;
        await expect
          .poll(async () => (await second.call('sandbox_list')).structured['sandboxes'])
          .toEqual([]);
        expect(agentsBelow(first.stateDir)).toBe(0);
      } finally {
        await second.close();
        await first.close();
      }
    });

    it('is removed by the next server if this one is killed during the fetch', async () => {
      const first = await startServer({ args });
      sources.on('/kill.git/info/refs', () => undefined);
      const reached = sources.next('/kill.git/info/refs');
      const over = expect(
        first.call('sandbox_create', { source: { type: 'git', url: `${sources.url}/kill.git` } }),
      ).rejects.toThrow();
      await reached;
      process.kill(first.pid, 'SIGKILL');
      await over;
      const second = await startServer({ args, stateDir: first.stateDir });
      try {
        await expect.poll(() => agentsBelow(first.stateDir)).toBe(0);
        // Removed, or reported as failed by the first reader.
        expect((await second.call('sandbox_list')).text).not.toMatch(/pending|running/);
      } finally {
        await second.close();
        await first.close();
      }
    });
  },
);

/** Agents of the sandboxes in a state directory, found by their open directories. */
function agentsBelow(stateDir: string): number {
  const script = `n=0; for fd in /proc/[0-9]*/fd/3; do case "$(readlink "$fd" 2>/dev/null)" in "$1"/*) n=$((n+1));; esac; done; echo $n`;
  return Number(spawnSync('sh', ['-c', script, 'sh', stateDir], { encoding: 'utf8' }).stdout);
}

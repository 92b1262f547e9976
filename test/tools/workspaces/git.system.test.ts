import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outputOf } from '../../support/answers.ts';
import { git } from '../../support/host/git.ts';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;
let project: string;

const bash = (script: string) => outputOf(server, script);
const AS_SOMEBODY =
  'export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org\n';

async function gitUrl(tool: string): Promise<string> {
  const url = (await server.call(tool)).structured['git_url'];
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/git\/[0-9a-f]{32}$/);
  return String(url);
}

beforeAll(async () => {
  server = await startServer();
  project = join(server.cwd, 'project');
  await mkdir(project);
  await git(project, 'init', '-q', '-b', 'main');
  await git(project, 'commit', '-q', '--allow-empty', '-m', 'first');
});
afterAll(() => server.close());

describe('git fetch on the host', () => {
  it('gets the commits of a workspace', needs('root', process.getuid?.() === 0), async () => {
    await server.call('sandbox_create', { workspace: { local_path: 'project' } });
    // Without compression, which would take longest.
    await bash(`${AS_SOMEBODY} git switch -qc work && git config core.compression 0
      head -c 8000000 /dev/urandom > large && git add large && git commit -qm second`);
    const url = await gitUrl('sandbox_changes');
    expect(await gitUrl('sandbox_get')).toBe(url);
    await git(project, 'fetch', '-q', url, 'work:reviewed');
    expect(await git(project, 'log', '--format=%s', 'reviewed')).toBe('second\nfirst\n');
    expect((await git(project, 'cat-file', '-s', 'reviewed:large')).trim()).toBe('8000000');
    expect(await git(project, 'status', '--short')).toBe('');
    await expect(git(project, 'push', url, 'main:pushed')).rejects.toThrow('A sandbox takes no pushes');
    const left = () => bash('git branch --list pushed; ps -ef | grep -c "[u]pload-pack" || true');
    await expect.poll(left).toBe('0\n');
  });

  it('gets those of a new repository below the working directory, until the sandbox ends', async () => {
    const made = await server.call('sandbox_create');
    await bash(
      `${AS_SOMEBODY} git init -q -b główna sub/new && cd sub/new && git commit -q --allow-empty -m new`,
    );
    const url = await gitUrl('sandbox_get');
    await git(project, 'fetch', '-q', `${url}/sub/new`, 'główna:new');
    expect(await git(project, 'log', '--format=%s', 'new')).toBe('new\n');
    await expect(git(project, 'fetch', url, 'main')).rejects.toThrow(
      'no git repository at "/vercel/sandbox"',
    );
    await expect(git(project, 'fetch', url.replace(/.{32}$/, '0'.repeat(32)), 'main')).rejects.toThrow(
      'no such repository',
    );
    await server.call('sandbox_stop', { blocking: true });
    await expect(git(project, 'fetch', `${url}/sub/new`, 'main')).rejects.toThrow('its sandbox has ended');
    const ended = await server.call('sandbox_get', { sandbox_id: made.structured['sandbox_id'] });
    expect(ended.structured['git_url']).toBeNull();
  });

  it('is explained in a sandbox without git, and trusts nothing that its git says', async () => {
    await server.call('sandbox_create', { env: { PATH: '/vercel/sandbox/bin' } });
    const url = await gitUrl('sandbox_get');
    await expect(git(project, 'fetch', url, 'main')).rejects.toThrow('There is no git in the sandbox');
    const script = '#!/bin/sh\nhead -c 100000000 /dev/zero\n/usr/bin/sleep 1000 &\n';
    await server.call('sandbox_write_files', {
      files: [{ path: 'bin/git', content: script.replace('head', '/usr/bin/head'), mode: '0755' }],
    });
    await expect(git(project, 'fetch', url, 'main')).rejects.toThrow('protocol error');
    // What it left running is killed soon after its connection has ended.
    const processes = async () => {
      const ps = await server.call('sandbox_run_command', { cmd: '/usr/bin/ps', args: ['-ef'] });
      return String(ps.structured['stdout']);
    };
    await expect.poll(processes).not.toContain('sleep 1000');
  });
});

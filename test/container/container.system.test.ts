/** The container image: built by Docker, started as `setup` starts it. */

import { chownSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import feature from '../../container/feature/sandbox-mcp/devcontainer-feature.json' with { type: 'json' };
import packageJson from '../../package.json' with { type: 'json' };
import { containerCommand, PRIVILEGES } from '../../src/cli/setup/container-command.ts';
import { openWorld, type World } from '../egress/support/world.ts';
import { type EntryServer, startEntry } from '../scripts/support/entry-client.ts';
import { startNpmRegistry } from '../scripts/support/npm-registry.ts';
import { needs } from '../support/needs.ts';
import { type DockerDaemon, lacksForDocker, startDocker } from './support/docker-daemon.ts';
import { BASE, buildBase, buildServerImage, IMAGE, packPackage } from './support/server-image.ts';

const lack = lacksForDocker();
const DOCKER = { path: 'docker', kind: 'docker' } as const;
const USER = 1000;
const FEATURE = join(import.meta.dirname, '../../container/feature/sandbox-mcp');

describe('the container image', needs(lack ?? '', lack === null), () => {
  let daemon: DockerDaemon;
  let world: World;
  let home = '';
  let folder = '';
  let archive = '';
  let env: Record<string, string> = {};

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'container-'));
    await chmod(home, 0o711);
    folder = join(home, 'folder');
    await mkdir(folder);
    await writeFile(join(folder, 'answer.js'), 'console.log(6 * 7)');
    for (const path of [folder, join(folder, 'answer.js')]) chownSync(path, USER, USER);
    world = await openWorld();
    daemon = await startDocker();
    env = { PATH: process.env['PATH'] ?? '', DOCKER_HOST: daemon.host };
    const [packed] = await Promise.all([packPackage(home), buildBase(daemon)]);
    archive = packed;
    await buildServerImage(daemon, archive);
  });

  afterAll(async () => {
    await daemon?.close();
    await world?.close();
    await rm(home, { recursive: true, force: true });
  });

  /** Names and addresses of this test. */
  const flags = () => ['--egress-dns', world.dns];
  const get = (host: string) => `curl --silent --show-error http://${host}/ 2>&1`;

  /** The entry that `setup` writes, with the network of this machine, since the daemon has none of its own. */
  function entry(): { command: string; args: string[] } {
    const server = { image: IMAGE, volume: 'sandbox-mcp', folders: [folder], flags: flags() };
    const { command, args } = containerCommand(DOCKER, server, 'linux');
    return { command, args: args.toSpliced(1, 0, '--network=host') };
  }

  async function withServer(work: (server: EntryServer) => Promise<void>): Promise<void> {
    const server = await startEntry(entry(), env);
    try {
      await work(server);
    } finally {
      await server.close();
    }
  }

  it('runs the main job on a mounted folder, and leaves no container', async () => {
    await withServer(async (server) => {
      await server.call('sandbox_create');
      await server.call('sandbox_upload_file', {
        local_path: join(folder, 'answer.js'),
        remote_path: 'answer.js',
      });
      expect(await server.script('node answer.js | tee answer.txt')).toBe('42\n');
      await server.call('sandbox_download_file', {
        remote_path: 'answer.txt',
        local_path: join(folder, 'answer.txt'),
      });
      expect(await readFile(join(folder, 'answer.txt'), 'utf8')).toBe('42\n');
      expect(await server.script('id -u; chown 1 answer.txt && stat -c %u answer.txt', { sudo: true })).toBe(
        '0\n1\n',
      );
    });
    expect(await daemon.docker('ps', '--all', '--quiet')).toBe('');
  });

  it('keeps snapshots in the volume, from one container to the next', async () => {
    let snapshot: unknown;
    await withServer(async (server) => {
      await server.call('sandbox_create');
      await server.script('echo kept > file');
      snapshot = (await server.call('sandbox_snapshot'))['snapshot_id'];
    });
    await withServer(async (server) => {
      await server.call('sandbox_create', { source: { type: 'snapshot', snapshot_id: snapshot } });
      expect(await server.script('cat file')).toBe('kept\n');
    });
  });

  it('applies network policies by name', async () => {
    await withServer(async (server) => {
      await server.call('sandbox_create', { network_policy: { mode: 'custom', allow: ['good.test'] } });
      expect(await server.script(get('good.test'))).toBe('good 0\n');
      expect(await server.script(get('evil.test'))).not.toContain('evil 0');
      expect(await server.script(get(world.evil))).not.toContain('evil 0');
      await server.call('sandbox_update_network_policy', { network_policy: { mode: 'deny-all' } });
      expect(await server.script(get('good.test'))).not.toContain('good 0');
    });
  });

  it('serves two clients at a time, which do not take each other’s sandboxes for leftovers', async () => {
    await withServer(async (first) => {
      await first.call('sandbox_create');
      await withServer(async (second) => {
        await second.call('sandbox_create');
        expect(await second.script('echo second')).toBe('second\n');
        expect(await first.script('echo first')).toBe('first\n');
      });
      expect(await first.script('echo first')).toBe('first\n');
    });
  });

  it('has no privilege that it does not need', async () => {
    const doctor = async (privileges: readonly string[]) =>
      daemon.docker('run', '--rm', '--network=none', ...privileges, IMAGE, 'doctor').then(
        () => 'works',
        () => 'fails',
      );
    expect(await doctor(PRIVILEGES)).toBe('works');
    // AppArmor restricts containers only where the kernel has it.
    const needed = PRIVILEGES.filter((one) => one !== '--cap-drop=ALL' && !one.includes('apparmor'));
    for (const one of needed) {
      const others = PRIVILEGES.filter((other) => other !== one);
      expect([one, await doctor(others)]).toEqual([one, 'fails']);
    }
  });

  it('has no program that gives another user’s rights, but for the ids of sandboxes', async () => {
    const find = 'find / -xdev -type f -perm /6000; getcap -r /usr 2>/dev/null';
    const said = await daemon.docker('run', '--rm', '--network=none', '--entrypoint=sh', IMAGE, '-c', find);
    expect(said.split('\n').sort()).toEqual([
      '/usr/bin/newgidmap cap_setgid=ep',
      '/usr/bin/newuidmap cap_setuid=ep',
    ]);
  });

  it('has a dev container feature, which installs the same', async () => {
    const npm = await startNpmRegistry(packageJson, archive);
    const context = join(home, 'feature');
    try {
      await cp(FEATURE, context, { recursive: true });
      const install = `npm_config_registry=${npm.url} _REMOTE_USER=dev VERSION=${packageJson.version} ./install.sh`;
      // As `updateRemoteUserUID` does for a host whose user has another id.
      const renumber = 'RUN usermod --uid 1234 dev && groupmod --gid 1234 dev && chown -R dev:dev /home/dev';
      const lines = [`FROM ${BASE}`, 'RUN useradd --create-home dev', 'COPY . /feature', 'WORKDIR /feature'];
      await writeFile(join(context, 'Dockerfile'), [...lines, `RUN ${install}`, renumber, ''].join('\n'));
      await daemon.docker('build', '--network=host', '--tag', 'feature:test', context);
    } finally {
      await npm.close();
    }
    const [mount] = feature.mounts;
    const environment = Object.entries(feature.containerEnv).map(([name, value]) => `--env=${name}=${value}`);
    const options = feature.securityOpt.map((option) => `--security-opt=${option}`);
    const volume = `--volume=feature:${mount?.target}`;
    const flags = ['--rm', '--network=none', '--user=dev', ...options, ...environment, volume];
    expect(await daemon.docker('run', ...flags, 'feature:test', 'sandbox-mcp', 'doctor')).toContain(
      'oci: works here',
    );
  });
});

/** The container image: built by Docker, started by Docker and by rootless Podman as `setup` starts it. */

import { chownSync, existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import feature from '../../container/feature/sandbox-mcp/devcontainer-feature.json' with { type: 'json' };
import packageJson from '../../package.json' with { type: 'json' };
import { containerCommand, PRIVILEGES } from '../../src/cli/setup/container-command.ts';
import { openWorld, type World } from '../egress/support/world.ts';
import { type EntryServer, startEntry } from '../scripts/support/entry-client.ts';
import { startNpmRegistry } from '../scripts/support/npm-registry.ts';
import { busyboxEntries, tarOf } from '../support/archives.ts';
import { needs } from '../support/needs.ts';
import { runVerb } from '../support/run-verb.ts';
import { startServer } from '../support/server.ts';
import { type DockerDaemon, lacksForDocker, startDocker } from './support/docker-daemon.ts';
import { lacksForPodman, openRootlessPodman } from './support/rootless-podman.ts';
import { BASE, buildBase, buildServerImage, IMAGE, packPackage } from './support/server-image.ts';

const lack = lacksForDocker();
const DOCKER = { path: 'docker', kind: 'docker' } as const;
const PODMAN = { path: 'podman', kind: 'podman' } as const;
const USER = 1000;
/** Where version 2 is mounted beside version 1. */
const UNIFIED = '/sys/fs/cgroup/unified';
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

  it('runs by rootless Podman', async (context) => {
    const lacks = lacksForPodman();
    if (lacks !== null) return context.skip(lacks);
    const archive = join(home, 'saved.tar');
    await daemon.docker('save', '--output', archive, IMAGE);
    const podman = await openRootlessPodman();
    try {
      await podman.load(archive);
      const mounted = join(podman.home, 'folder');
      await mkdir(mounted);
      await writeFile(join(mounted, 'answer.js'), 'console.log(6 * 7)');
      for (const path of [mounted, join(mounted, 'answer.js')]) podman.own(path);
      const image = `localhost/${IMAGE}`;
      const server = { image, volume: 'sandbox-mcp', folders: [mounted], flags: flags() };
      const { command, args } = containerCommand(PODMAN, server, 'linux');
      // The image's crun refuses sandboxes where both versions of cgroups are visible.
      const masked = existsSync(UNIFIED) ? [`--security-opt=mask=${UNIFIED}`] : [];
      const start = () =>
        startEntry(
          podman.entry({ command, args: args.toSpliced(1, 0, '--network=host', ...masked) }),
          podman.env,
        );

      const first = await start();
      let snapshot: unknown;
      try {
        await first.call('sandbox_create', { network_policy: { mode: 'custom', allow: ['good.test'] } });
        const local_path = join(mounted, 'answer.js');
        await first.call('sandbox_upload_file', { local_path, remote_path: 'answer.js' });
        expect(await first.script('node answer.js | tee answer.txt')).toBe('42\n');
        const written = join(mounted, 'answer.txt');
        await first.call('sandbox_download_file', { remote_path: 'answer.txt', local_path: written });
        // Its owner is the user, who reads it outside.
        expect((await stat(written)).uid).toBe((await stat(mounted)).uid);
        expect(await first.script('id -u; chown 1 answer.txt && stat -c %u answer.txt', { sudo: true })).toBe(
          '0\n1\n',
        );
        expect(await first.script(get('good.test'))).toBe('good 0\n');
        expect(await first.script(get('evil.test'))).not.toContain('evil 0');
        expect(await first.script(get(world.evil))).not.toContain('evil 0');
        const find =
          "cd /proc; for p in [0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^node .*main.js' && grep CapEff $p/status; done; true";
        const [id = ''] = (await podman.podman('ps', '--quiet')).split('\n');
        expect(await podman.podman('exec', id, 'sh', '-c', find)).toMatch(/^CapEff:\s0{16}$/);
        snapshot = (await first.call('sandbox_snapshot'))['snapshot_id'];
      } finally {
        await first.close();
      }
      const second = await start();
      try {
        await second.call('sandbox_create', { source: { type: 'snapshot', snapshot_id: snapshot } });
        expect(await second.script('cat answer.txt')).toBe('42\n');
      } finally {
        await second.close();
      }
      expect(await podman.podman('ps', '--all', '--quiet')).toBe('');
    } finally {
      await podman.close();
    }
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

  it('is beside a Docker whose BuildKit builds images for sandboxes, where there is no buildah', async (context) => {
    const entries =
      busyboxEntries() ?? context.skip('busybox-static is missing; `npm test` as root installs it');
    const project = join(home, 'project');
    const programs = join(home, 'programs');
    const stateDir = join(home, 'state');
    for (const path of [project, programs]) await mkdir(path);
    for (const name of ['docker', 'env']) await symlink(`/usr/bin/${name}`, join(programs, name));
    await writeFile(join(project, 'root.tar'), tarOf(entries));
    await writeFile(join(project, 'motd'), 'built\n');
    // The option is BuildKit's.
    const lines = 'FROM scratch AS base\nADD root.tar /\nCOPY --chmod=754 motd /etc/motd\nENV BY=buildkit\n';
    await writeFile(join(project, 'Dockerfile'), lines);
    const verb = ['image', 'build', 'built', project, '--state-dir', stateDir];
    const built = await runVerb(verb, { ...env, PATH: programs });
    expect(built.out, built.err).toMatch(/^built {2}\d+\.\d MB {2}linux\/\w+\n$/);
    const server = await startServer({ stateDir });
    try {
      await server.call('sandbox_create', { runtime: 'built' });
      const args = ['-c', 'echo $BY; stat -c %a /etc/motd; cat /etc/motd'];
      const answer = await server.call('sandbox_run_command', { cmd: 'sh', args });
      expect(answer.structured).toMatchObject({ stdout: 'buildkit\n754\nbuilt\n' });
    } finally {
      await server.close();
    }
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

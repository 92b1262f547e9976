/** The entry that `setup` writes where the server runs in a container. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { containerCommand, PRIVILEGES } from '../../src/cli/setup/container-command.ts';
import { setupClients } from '../../src/cli/setup-clients.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { FlagName } from '../../src/config/flags.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const VOLUME = '--volume=sandbox-mcp-cursor:/var/lib/sandbox-mcp';
const IMAGE = 'ghcr.io/sandbox-mcp/sandbox-mcp:1.2.3';
const settings = z.object({
  mcpServers: z.object({ sandbox: z.object({ command: z.string(), args: z.array(z.string()) }) }),
});
let home = '';
let programs = '';

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'setup-'));
  programs = join(home, 'programs');
  for (const folder of [programs, join(home, '.cursor')]) mkdirSync(folder);
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

function install(...names: string[]): void {
  for (const name of names) installScript(name, 'exit 0');
}

/** A program that runs containers, as a line of shell. */
function installScript(name: string, script: string): void {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

interface Run {
  platform: NodeJS.Platform;
  flags?: [FlagName, string[]][];
  container?: boolean;
  image?: string;
  terminal?: ReturnType<typeof recordingTerminal>;
}

/** The entry in Cursor's settings. */
async function entry({
  platform,
  flags = [],
  container = false,
  image,
  terminal = recordingTerminal(),
}: Run) {
  const given = new Map(flags);
  const config = loadConfig(given, { env: { PATH: programs }, cwd: home, homeDir: home, isRoot: false });
  const request = {
    client: 'cursor',
    remove: false,
    yes: true,
    flags: given,
    container,
    image: image ?? null,
  };
  const self = { command: '/usr/bin/node', args: ['/opt/main.js'] };
  const dependencies = { self, ask: async () => null, version: '1.2.3', diagnose: async () => [] };
  const code = await setupClients(request, config, dependencies, terminal, platform);
  expect(code).toBe(0);
  const file = readFileSync(join(home, '.cursor/mcp.json'), 'utf8');
  return settings.parse(JSON.parse(file)).mcpServers.sandbox;
}

describe('setup in a container', () => {
  it.each([
    ['darwin', 'docker'],
    ['win32', 'docker.exe'],
  ] as const)('is what it chooses on %s', async (platform, program) => {
    install(program);
    expect(await entry({ platform, flags: [['toolsets', ['core']]] })).toEqual({
      command: join(programs, program),
      args: ['run', '-i', '--rm', ...PRIVILEGES, VOLUME, IMAGE, '--toolsets', 'core'],
    });
  });

  it('is not chosen on Linux or for the cloud, unless it is asked for', async () => {
    install('docker');
    expect((await entry({ platform: 'linux' })).command).toBe('/usr/bin/node');
    const engine: [FlagName, string[]][] = [['engine', ['vercel']]];
    expect((await entry({ platform: 'darwin', flags: engine })).command).toBe('/usr/bin/node');
    expect((await entry({ platform: 'linux', container: true })).args).toContain(IMAGE);
    const own = await entry({ platform: 'linux', image: 'mine:1' });
    expect(own).toMatchObject({
      command: join(programs, 'docker'),
      args: expect.arrayContaining(['mine:1']),
    });
  });

  it('uses podman, with the ids of its user, where there is no docker', async () => {
    install('podman');
    const { command, args } = await entry({ platform: 'darwin' });
    expect(command).toBe(join(programs, 'podman'));
    expect(args).toContain('--userns=keep-id:uid=1000,gid=1000');
    install('docker');
    expect((await entry({ platform: 'darwin' })).command).toBe(join(programs, 'docker'));
  });

  it('recognizes Podman that is installed as docker', async () => {
    installScript('docker', 'echo podman version 5.4.2');
    const { command, args } = await entry({ platform: 'linux', container: true });
    expect(command).toBe(join(programs, 'docker'));
    expect(args).toContain('--userns=keep-id:uid=1000,gid=1000');
  });

  it('pulls the image before it writes the entry', async () => {
    const calls = join(home, 'calls');
    installScript(
      'docker',
      `echo "$@" $(ls ${home}/.cursor) >> ${calls}; [ "$1" = image ] && exit 1; exit 0`,
    );
    const terminal = recordingTerminal();
    await entry({ platform: 'darwin', terminal });
    expect(readFileSync(calls, 'utf8').trim().split('\n').slice(1)).toEqual([
      `image inspect ${IMAGE}`,
      `pull ${IMAGE}`,
    ]);
    expect(terminal.errors()).toBe(`Pulling ${IMAGE}\n`);
  });

  it('does not pull an image that is there', async () => {
    const calls = join(home, 'calls');
    installScript('docker', `echo "$@" >> ${calls}`);
    await entry({ platform: 'darwin' });
    expect(readFileSync(calls, 'utf8')).not.toContain('pull');
  });

  it('says how to pull an image that it could not pull, and writes the entry', async () => {
    installScript('docker', '[ "$1" = --version ]');
    const terminal = recordingTerminal();
    expect((await entry({ platform: 'darwin', terminal })).args).toContain(IMAGE);
    expect(terminal.errors()).toContain(`${join(programs, 'docker')} pull ${IMAGE}\n`);
  });

  it('gives each client a volume of its own', async () => {
    install('docker');
    mkdirSync(join(home, '.gemini'));
    const config = loadConfig(new Map(), {
      env: { PATH: programs },
      cwd: home,
      homeDir: home,
      isRoot: false,
    });
    const request = {
      client: null,
      remove: false,
      yes: true,
      flags: new Map(),
      container: true,
      image: null,
    };
    const dependencies = {
      self: { command: '', args: [] },
      ask: async () => null,
      version: '1.2.3',
      diagnose: async () => [],
    };
    await setupClients(request, config, dependencies, recordingTerminal(), 'linux');
    const volumes = ['.cursor/mcp.json', '.gemini/settings.json'].map((file) => {
      const { args } = settings.parse(JSON.parse(readFileSync(join(home, file), 'utf8'))).mcpServers.sandbox;
      return args.find((one) => one.startsWith('--volume='))?.split(/[=:]/)[1];
    });
    expect(volumes).toEqual(['sandbox-mcp-cursor', 'sandbox-mcp-gemini-cli']);
  });

  it('mounts a folder once', async () => {
    install('docker');
    const folder = join(home, '.cursor');
    const { args } = await entry({ platform: 'darwin', flags: [['allow-dir', [folder, `${folder}/`]]] });
    expect(args.filter((one) => one.startsWith('--mount='))).toHaveLength(1);
  });

  it('mounts the folders of --allow-dir where they are', async () => {
    install('docker');
    const folder = join(home, '.cursor');
    const { args } = await entry({ platform: 'darwin', flags: [['allow-dir', [folder]]] });
    expect(args).toContain(`--mount=type=bind,source=${folder},target=${folder}`);
    expect(args.slice(-3)).toEqual([IMAGE, '--allow-dir', folder]);
  });

  it.each([
    [
      'darwin',
      '/Users/me/a, "b"',
      '/Users/me/a, "b"',
      '"source=/Users/me/a, ""b""","target=/Users/me/a, ""b"""',
    ],
    ['win32', 'C:\\Users\\me\\a b', '/c/Users/me/a b', 'source=C:\\Users\\me\\a b,target=/c/Users/me/a b'],
    ['win32', '\\\\nas\\share\\x', '/nas/share/x', 'source=\\\\nas\\share\\x,target=/nas/share/x'],
  ] as const)('mounts a folder of %s: %s', (platform, folder, target, mount) => {
    const program = { path: '/docker', kind: 'docker' } as const;
    const server = { image: 'i', volume: 'v', folders: [folder], flags: [] };
    const { args } = containerCommand(program, server, platform);
    expect(args).toContain(`--mount=type=bind,${mount}`);
    expect(args.slice(-3)).toEqual(['i', '--allow-dir', target]);
  });

  it.each(['/', '/usr', '/usr/local/src', '/var', '/var/lib/sandbox-mcp/1', '/etc/..', '/root/p'])(
    'does not hide what is in the image: %s',
    (folder) => {
      const program = { path: '/docker', kind: 'docker' } as const;
      const server = { image: 'i', volume: 'v', folders: [folder], flags: [] };
      expect(() => containerCommand(program, server, 'linux')).toThrow('cannot be mounted');
    },
  );

  it.each(['state-dir', 'trace-file', 'auth-tokens-file', 'oci-runtime'] as const)(
    'refuses --%s, which names a file of the host',
    async (name) => {
      install('docker');
      await expect(entry({ platform: 'darwin', flags: [[name, [home]]] })).rejects.toThrow(`--${name}`);
    },
  );

  it('makes the paths of flags absolute outside of a container', async () => {
    const flags: [FlagName, string[]][] = [
      ['trace-file', ['trace.jsonl']],
      ['oci-runtime', ['./crun']],
    ];
    const { args } = await entry({ platform: 'linux', flags });
    expect(args.slice(1)).toEqual(['--trace-file', resolve('trace.jsonl'), '--oci-runtime', resolve('crun')]);
  });

  it('needs docker or podman', async () => {
    await expect(entry({ platform: 'darwin' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('this is darwin'),
      hint: expect.stringContaining('--engine vercel'),
    });
    await expect(entry({ platform: 'linux', container: true })).rejects.toThrow('neither docker nor podman');
  });
});

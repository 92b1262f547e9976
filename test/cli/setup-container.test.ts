/** The entry that `setup` writes where the server runs in a container. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { containerCommand, PRIVILEGES } from '../../src/cli/setup/container-command.ts';
import { setupClients } from '../../src/cli/setup-clients.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { FlagName } from '../../src/config/flags.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const VOLUME = '--volume=sandbox-mcp:/var/lib/sandbox-mcp';
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
  for (const name of names) writeFileSync(join(programs, name), '', { mode: 0o755 });
}

interface Run {
  platform: NodeJS.Platform;
  flags?: [FlagName, string[]][];
  container?: boolean;
  image?: string;
}

/** The entry in Cursor's settings. */
async function entry({ platform, flags = [], container = false, image }: Run) {
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
  const dependencies = { self, ask: async () => null, version: '1.2.3' };
  const code = await setupClients(request, config, dependencies, recordingTerminal(), platform);
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
    const server = { image: 'i', folders: [folder], flags: [] };
    const { args } = containerCommand(program, server, platform);
    expect(args).toContain(`--mount=type=bind,${mount}`);
    expect(args.slice(-3)).toEqual(['i', '--allow-dir', target]);
  });

  it.each(['/', '/usr', '/usr/local/src', '/var', '/var/lib/sandbox-mcp/1', '/etc/..'])(
    'does not hide what is in the image: %s',
    (folder) => {
      const program = { path: '/docker', kind: 'docker' } as const;
      const server = { image: 'i', folders: [folder], flags: [] };
      expect(() => containerCommand(program, server, 'linux')).toThrow('cannot be mounted');
    },
  );

  it('has no state directory of its own', async () => {
    install('docker');
    await expect(entry({ platform: 'darwin', flags: [['state-dir', [home]]] })).rejects.toThrow(
      '--state-dir',
    );
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

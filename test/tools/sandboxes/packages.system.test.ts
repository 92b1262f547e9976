/** Packages in the default root file system, if its system directories belong to the sandbox's root. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

/** A package with a program, a configuration file and a user, built in the sandbox without any download. */
const BUILD = `set -e; cd "$(mktemp -d)"
mkdir -p p/DEBIAN p/usr/bin p/etc
printf '#!/bin/sh\\necho greetings\\n' > p/usr/bin/greet-them; chmod 755 p/usr/bin/greet-them
echo loud=no > p/etc/greet-them.conf
printf '/etc/greet-them.conf\\n' > p/DEBIAN/conffiles
printf 'Package: greet-them\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: a <a@example.com>\\nDepends: libc6\\nDescription: d\\n' > p/DEBIAN/control
printf '#!/bin/sh\\nset -e\\nuseradd --system --user-group greeter\\nchown greeter /etc/greet-them.conf\\n' > p/DEBIAN/postinst
chmod 755 p/DEBIAN/postinst
dpkg-deb --root-owner-group --build p greet-them.deb > /dev/null
apt-get install -y "$PWD/greet-them.deb" 2>&1`;
const CHECK = `greet-them && dpkg-query -W -f '\${Status}\\n' greet-them && stat -c %U /etc/greet-them.conf`;
const CHECKED = 'greetings\ninstall ok installed\ngreeter\n';

const usable = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && existsSync('/var/lib/dpkg');

describe('packages', needs('root, and a host with apt', usable), () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer();
    await server.call('sandbox_create');
  });
  afterAll(() => server.close());

  async function shell(script: string, sudo: boolean) {
    const call = { cmd: 'bash', args: ['-c', script], sudo };
    return (await server.call('sandbox_run_command', call)).structured;
  }

  it('install with sudo, survive a snapshot, and can be removed', async () => {
    const installed = await shell(BUILD, true);
    expect(installed['stdout']).toContain('Setting up greet-them');
    expect(installed['exit_code']).toBe(0);
    expect(await shell(CHECK, false)).toMatchObject({ exit_code: 0, stdout: CHECKED });

    const { structured } = await server.call('sandbox_snapshot');
    const source = { type: 'snapshot', snapshot_id: structured['snapshot_id'] };
    expect((await server.call('sandbox_create', { source })).isError).toBe(false);
    expect(await shell(CHECK, false)).toMatchObject({ exit_code: 0, stdout: CHECKED });
    expect(await shell('apt-get purge -y greet-them 2>&1', true)).toMatchObject({ exit_code: 0 });
    expect((await shell('ls /etc/greet-them.conf; command -v greet-them', false))['stdout']).toBe('');
  });

  it('come from the host, which does not change', async () => {
    const { stdout } = await shell('dpkg-query -W dpkg apt | wc -l', false);
    expect(stdout).toBe('2\n');
    expect(existsSync('/usr/bin/greet-them')).toBe(false);
    expect(existsSync('/var/lib/dpkg/info/greet-them.list')).toBe(false);
  });
});

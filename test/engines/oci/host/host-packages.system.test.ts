/** On the host's files, programs that the host's packages installed find the configuration they need. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../../../src/engines/engine.ts';
import { runHostProgram } from '../../../../src/engines/oci/host/host-program.ts';
import { packageStateLayers, writePackageState } from '../../../../src/engines/oci/host/package-database.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import { needs } from '../../../support/needs.ts';
import { AGENT_PATH, openOciEngines } from '../support/oci-engines.ts';

type Opened = Awaited<ReturnType<typeof openOciEngines>>;

const STATUS = 'Package: server\nStatus: install ok half-configured\nVersion: 1\nConfig-Version: 0\n';
const isDebian = process.getuid?.() === 0 && existsSync('/var/lib/dpkg/status');

describe('packages of a Debian host', needs('root on Debian', isDebian), () => {
  let opened: Opened | null = null;
  let shared: Sandbox | null = null;

  beforeAll(async () => {
    opened = await openOciEngines();
    shared = await opened.engine.create(createRequest(), timeoutSignal());
  });

  afterAll(async () => {
    if (shared !== null) await opened?.engine.forget(shared.sandboxId, timeoutSignal());
    await opened?.close();
  });

  async function sudo(script: string) {
    if (opened === null || shared === null) throw new Error('there is no sandbox');
    const subject = { ...opened, shared, create: () => Promise.reject(new Error('not here')) };
    return run(subject, 'sh', ['-c', script], { sudo: true });
  }

  it.for([
    'runuser -u vercel-sandbox -- id -un',
    'runuser -l vercel-sandbox -c "id -un"',
    'su vercel-sandbox -c "id -un"',
    'su - vercel-sandbox -c "id -un"',
  ])('change the user: %s', async (command) => {
    expect(await sudo(command)).toMatchObject({ exitCode: 0, stdout: 'vercel-sandbox\n' });
  });

  it('create users', async () => {
    const made = await sudo('useradd --create-home other && su other -c "id -un"');
    expect(made).toMatchObject({ exitCode: 0, stdout: 'other\n' });
  });

  it('find their services', async () => {
    expect((await sudo('service --status-all 2>&1')).stdout).toMatch(/\[ . \]/);
  });

  it('find the directories of /var that they ship, with their owners', async () => {
    const { stdout } = await sudo(
      'stat -c "%F %a %U" /var/tmp /var/log /var/run /run/lock && touch /var/lock/x /var/tmp/y',
    );
    expect(stdout.trim().split('\n')).toEqual([
      'directory 1777 root',
      'directory 755 root',
      'symbolic link 777 root',
      'directory 1777 root',
    ]);
    expect(
      await sudo('touch /var/lock/x /var/tmp/y && mv /var/log /var/logs && ls -A /var/tmp'),
    ).toMatchObject({
      exitCode: 0,
      stdout: 'y\n',
    });
  });

  it('are consistent', async () => {
    expect(await sudo('dpkg --audit')).toMatchObject({ exitCode: 0, stdout: '' });
    expect(await sudo('apt-get check -qq')).toMatchObject({ exitCode: 0 });
    expect((await sudo('ls /var/lib/dpkg/updates')).stdout).toBe('');
    expect((await sudo('stat -c %u:%g /var/lib/dpkg /var/lib/dpkg/status')).stdout).toBe('0:0\n0:0\n');
  });

  it('are seen at rest while the host installs others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sandbox-mcp-dpkg-'));
    try {
      for (const name of [
        'database/info',
        'database/updates',
        'database/tmp.ci',
        'upper',
        'work',
        'mapped',
        'merged',
        'layers',
      ])
        await mkdir(join(folder, name), { recursive: true });
      const files = {
        status: STATUS,
        'updates/0001': STATUS,
        'tmp.ci/control': '',
        'info/server.list': '/.\n',
      };
      for (const [name, content] of Object.entries(files))
        await writeFile(join(folder, 'database', name), content);
      await writePackageState(join(folder, 'database'), join(folder, 'layers'));
      const lower = [...(await packageStateLayers(join(folder, 'layers'))), join(folder, 'mapped')].join(':');
      const { output } = await runHostProgram(AGENT_PATH, [
        'launch',
        ...['--ids', '100000', '65536', '100000'],
        ...['--map', join(folder, 'database'), join(folder, 'mapped')],
        ...['--overlay', join(folder, 'merged')],
        `lowerdir=${lower},upperdir=${join(folder, 'upper')},workdir=${join(folder, 'work')}`,
        ...[
          '/bin/sh',
          '-c',
          'cd "$0" && find . -type f | sort && grep Status: status',
          join(folder, 'merged'),
        ],
      ]);
      expect(output.split('\n')).toEqual([
        './info/server.list',
        './status',
        './triggers/Unincorp',
        'Status: install ok installed',
        '',
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('have no password hashes of the host', async () => {
    const { stdout } = await sudo('cut -d: -f2 /etc/shadow | sort -u');
    expect(stdout.split('\n').filter((line) => line !== '*' && line !== '!' && line !== '')).toEqual([]);
  });
});

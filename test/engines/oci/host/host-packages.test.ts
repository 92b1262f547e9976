import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ensureEtcTemplate,
  packageStateOf,
  packageVariable,
} from '../../../../src/engines/oci/host/etc-template.ts';
import {
  atRest,
  packageStateLayers,
  withoutServerData,
  writePackageState,
} from '../../../../src/engines/oci/host/package-database.ts';
import { needs } from '../../../support/needs.ts';

const isRoot = process.getuid?.() === 0;
let host = '';

beforeEach(async () => {
  host = await mkdtemp(join(tmpdir(), 'host-'));
  await put('etc/passwd', 'root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n');
});

afterEach(() => rm(host, { recursive: true }));

async function put(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(host, path)), { recursive: true });
  await writeFile(join(host, path), content);
  await chmod(join(host, path), mode);
}

/** The path of the template. */
async function template(): Promise<string> {
  await mkdir(join(host, 'templates'), { recursive: true });
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return join(host, 'templates', await ensureEtcTemplate(join(host, 'templates'), uid, gid, host));
}

function stanza(name: string, state: string, ...lines: string[]): string {
  return [`Package: ${name}`, `Status: install ok ${state}`, 'Version: 1', ...lines, ''].join('\n');
}

/** Without what links lead to. */
async function pathsBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const nested = entries.map(async (entry) =>
    entry.isDirectory()
      ? (await pathsBelow(join(directory, entry.name))).map((path) => join(entry.name, path))
      : [],
  );
  return [...entries.map(({ name }) => name), ...(await Promise.all(nested)).flat()];
}

const md5 = (text: string) => createHash('md5').update(text).digest('hex');

describe('the configuration of packages', () => {
  it('is copied as the package ships it, and not if it was changed or is not readable', async () => {
    const shipped = { 'init.d/server': '#!/bin/sh\n', 'server/auth.conf': 'password example\n' };
    const listed = Object.entries(shipped).map(([path, text]) => ` /etc/${path} ${md5(text)}`);
    for (const [path, text] of Object.entries(shipped)) await put(`etc/${path}`, text, 0o755);
    await put('etc/server/changed.conf', 'password mine\n');
    await put('etc/server/private.conf', 'x', 0o600);
    await put('var/secret', 'y');
    const conffiles = [
      ...listed,
      ` /etc/server/changed.conf ${md5('before')}`,
      ` /etc/server/private.conf ${md5('x')}`,
      ` /etc/server/missing.conf ${md5('x')}`,
      ` /etc/../var/secret ${md5('y')}`,
    ];
    await put('etc/ssh/moduli', 'x');
    const sshd = stanza('openssh-server', 'installed', 'Conffiles:', ` /etc/ssh/moduli ${md5('x')}`);
    const packages = [stanza('server', 'installed', 'Conffiles:', ...conffiles), sshd];
    await put('var/lib/dpkg/status', packages.join('\n'));
    await put('etc/dpkg/dpkg.cfg', '');
    const made = await template();
    // Reinstalling a package inside restores what is missing.
    expect(await readFile(join(made, 'dpkg/dpkg.cfg.d/sandbox-mcp'), 'utf8')).toBe('force-confmiss\n');
    expect(existsSync(join(made, 'ssh'))).toBe(false);
    expect((await readdir(join(made, 'server'))).sort()).toEqual(['auth.conf']);
    expect(await readFile(join(made, 'server/auth.conf'), 'utf8')).toBe('password example\n');
    expect((await stat(join(made, 'init.d/server'))).mode & 0o777).toBe(0o755);
  });

  it('includes accounts without passwords and authentication of local accounts', async () => {
    await put('etc/shadow', 'root:$hash:1:0:99999:7:::\n', 0o640);
    await put('etc/sudoers', 'boss ALL=(ALL) ALL\n', 0o440);
    await put('etc/pam.d/common-auth', 'auth required pam_ldap.so\n');
    await put('etc/pam.d/su', '@include common-auth\n');
    const made = await template();
    const shadow = await readFile(join(made, 'shadow'), 'utf8');
    expect(shadow.split('\n').map((line) => line.split(':').slice(0, 2).join(':'))).toEqual([
      'root:*',
      'vercel-sandbox:*',
      'nobody:*',
      'www-data:*',
      '',
    ]);
    expect((await stat(join(made, 'shadow'))).mode & 0o777).toBe(0o640);
    expect(await readFile(join(made, 'sudoers'), 'utf8')).not.toContain('boss');
    expect(await readFile(join(made, 'pam.d/su'), 'utf8')).toBe('@include common-auth\n');
    expect(await readFile(join(made, 'pam.d/common-auth'), 'utf8')).not.toContain('ldap');
  });
});

describe('the /var of packages', () => {
  it('has the directories and unchanged files that they ship, with their modes, and no data', async () => {
    await put('var/lib/dpkg/status', stanza('server', 'installed'));
    for (const [path, mode] of [
      ['var/tmp', 0o1777],
      ['var/lib/server', 0o750],
      ['var/lib/other', 0o755],
    ] as const) {
      await mkdir(join(host, path), { recursive: true });
      await chmod(join(host, path), mode);
    }
    await mkdir(join(host, 'run/server'), { recursive: true, mode: 0o700 });
    await symlink(join(host, 'run'), join(host, 'var/run'));
    await put('var/lib/server/data', 'mine');
    await put('var/lib/server/shipped', 'x');
    await put('var/lib/server/changed', 'mine');
    const listed = [
      '/.',
      '/usr/bin/server',
      '/var',
      '/var/tmp',
      '/var/run',
      '/var/lib/server',
      '/var/gone',
      '/var/../etc',
      '/var/run/server',
      '/var/run/new',
    ];
    const files = ['/var/lib/server/shipped', '/var/lib/server/changed'];
    await put('var/lib/dpkg/info/server.list', `${[...listed, ...files].join('\n')}\n`);
    const sums = [`${md5('x')}  var/lib/server/shipped`, `${md5('before')}  var/lib/server/changed`];
    await put('var/lib/dpkg/info/server.md5sums', `${sums.join('\n')}\n`);
    const variable = (await packageVariable(await template())) ?? 'none';
    expect((await pathsBelow(variable)).sort()).toEqual(
      [
        ...['cache', 'cache/apt', 'cache/apt/archives', 'cache/apt/archives/partial', 'cache/debconf'],
        ...[
          'lib',
          'lib/apt',
          'lib/apt/lists',
          'lib/apt/lists/partial',
          'lib/dpkg',
          'lib/server',
          'lib/server/shipped',
        ],
        ...['log', 'log/apt', 'run', 'tmp'],
      ].sort(),
    );
    expect((await stat(join(variable, 'tmp'))).mode & 0o7777).toBe(0o1777);
    expect((await stat(join(variable, 'lib/server'))).mode & 0o7777).toBe(0o750);
    expect(await readlink(join(variable, 'run'))).toBe(join(host, 'run'));
    expect(await readdir(join(host, 'run'))).toEqual(['server']);
  });

  it('has those of services, empty, although no list names them', needs('root', isRoot), async () => {
    await put('var/lib/dpkg/status', stanza('server', 'installed'));
    await put('var/lib/service/data', 'mine');
    await put('var/log/private/data', 'mine');
    await put('var/lib/root/data', 'mine');
    await put('var/lib/person/data', 'mine');
    for (const [path, uid] of [
      ['lib/service', 33] as const,
      ['log/private', 33] as const,
      ['lib/person', 1000] as const,
    ]) {
      await chmod(join(host, 'var', path), 0o2750);
      await chown(join(host, 'var', path), uid, 4);
    }
    const variable = (await packageVariable(await template())) ?? 'none';
    expect(await readdir(join(variable, 'lib'))).toEqual(['apt', 'dpkg', 'service']);
    expect(await readdir(join(variable, 'log'))).toEqual(['apt', 'private']);
    const { mode, uid, gid } = await stat(join(variable, 'lib/service'));
    expect([mode & 0o7777, uid, gid]).toEqual([0o2750, 33, 4]);
    expect(await readdir(join(variable, 'lib/service'))).toEqual([]);
  });

  it('has those of services without what is a link', async () => {
    await put('var/lib/dpkg/status', stanza('server', 'installed'));
    await put('var/lib/dpkg/info/base.list', '/var\n/var/spool\n');
    await mkdir(join(host, 'data/spool/cron'), { recursive: true });
    await symlink('../data/spool', join(host, 'var/spool'));
    const variable = (await packageVariable(await template())) ?? 'none';
    expect(await readlink(join(variable, 'spool'))).toBe('../data/spool');
  });

  it(
    'has those of services without what this user may not list',
    needs('an ordinary user', !isRoot),
    async () => {
      await put('var/lib/dpkg/status', stanza('server', 'installed'));
      await put('var/log/private/data', 'mine');
      await chmod(join(host, 'var/log'), 0o000);
      try {
        const variable = (await packageVariable(await template())) ?? 'none';
        expect(await readdir(join(variable, 'log'))).toEqual(['apt']);
      } finally {
        await chmod(join(host, 'var/log'), 0o700);
      }
    },
  );
});

describe('the package database', () => {
  it('has layers with its state whatever the umask, without the journal of a transaction', async () => {
    await put('var/lib/dpkg/status', stanza('server', 'half-configured', 'Config-Version: 0'));
    const layers = join(host, 'layers');
    await mkdir(layers);
    expect(await packageStateLayers(layers)).toEqual([]);
    const umask = process.umask(0o077);
    await writePackageState(join(host, 'var/lib/dpkg'), layers).finally(() => process.umask(umask));
    const [state = '', mask = ''] = await packageStateLayers(layers);
    expect(await readFile(join(state, 'status'), 'utf8')).toBe(stanza('server', 'installed'));
    expect((await stat(join(state, 'status'))).mode & 0o777).toBe(0o644);
    for (const name of ['updates', 'tmp.ci']) {
      expect(await readdir(join(state, name))).toEqual([]);
      expect((await stat(join(state, name))).mode & 0o777).toBe(0o755);
      expect((await stat(join(mask, name))).isFile()).toBe(true);
    }
  });

  it('gets a template of its own whenever it changes', async () => {
    await put('var/lib/dpkg/status', stanza('server', 'installed'));
    const before = await template();
    expect(await template()).toBe(before);
    await put('var/lib/dpkg/status', stanza('server', 'installed', 'Priority: extra'));
    const after = await template();
    expect(after).not.toBe(before);
    expect(packageStateOf(after)).toBe(`${after}.dpkg`);
  });

  it('counts what is upgraded as installed, and what is installed for the first time as absent', () => {
    const kept = [stanza('a', 'installed'), 'Package: b\nStatus: deinstall ok config-files\n'].join('\n');
    expect(atRest(kept)).toBe(kept);
    expect(atRest([stanza('new', 'half-installed'), stanza('a', 'installed')].join('\n'))).toBe(
      stanza('a', 'installed'),
    );
    for (const state of ['unpacked', 'half-configured', 'half-installed', 'triggers-pending'])
      expect(atRest(stanza('a', state, 'Config-Version: 0'))).toBe(stanza('a', 'installed'));
  });

  it('has no server that needs what only its installation creates, and nothing that depends on it', () => {
    const postgres = stanza('postgresql-15', 'installed', 'Provides: postgresql-contrib-15 (= 1), db');
    const dependents = [
      stanza('postgresql', 'installed', 'Depends: libc6 (>= 2), postgresql-15 (>= 1)'),
      stanza('contrib', 'installed', 'Pre-Depends: postgresql-contrib-15 | missing'),
      stanza('above', 'installed', 'Depends: contrib:any'),
    ];
    const others = [
      stanza('postgresql-client-15', 'installed', 'Depends: libc6'),
      stanza('sqlite', 'installed', 'Provides: db'),
      stanza('needs-any', 'installed', 'Depends: db, missing'),
      stanza('removed', 'config-files', 'Depends: postgresql'),
    ];
    const status = [dependents[2], others[0], postgres, ...dependents.slice(0, 2), ...others.slice(1)];
    expect(withoutServerData(status.join('\n'))).toBe(others.join('\n'));
    expect(withoutServerData(others.join('\n'))).toBe(others.join('\n'));
    const servers = ['openssh-server', 'mariadb-server', 'mysql-server-8.0', 'redis-server', 'slapd'];
    for (const server of [...servers, 'nginx-common', 'apache2'])
      expect(withoutServerData([stanza(server, 'installed'), ...others].join('\n'))).toBe(others.join('\n'));
  });
});

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureEtcTemplate } from '../../../../src/engines/oci/host/etc-template.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'etc-'));
  for (const name of ['etc', 'templates']) await mkdir(join(folder, name));
});

afterEach(() => rm(folder, { recursive: true }));

/** Files of the host's /etc; returns those of the template, by path, that the host has too. */
async function copied(files: Record<string, string>): Promise<Record<string, string>> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, 'etc', path)), { recursive: true });
    await writeFile(join(folder, 'etc', path), content, { mode: 0o644 });
  }
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const name = await ensureEtcTemplate(join(folder, 'templates'), uid, gid, folder);
  const there = await readdir(join(folder, 'templates', name), { recursive: true });
  const found = Object.keys(files).filter((path) => there.includes(path));
  const read = (path: string) => readFile(join(folder, 'templates', name, path), 'utf8');
  return Object.fromEntries(await Promise.all(found.map(async (path) => [path, await read(path)] as const)));
}

describe('the /etc of a sandbox', () => {
  it('has what programs need, unchanged', async () => {
    const files = {
      profile: 'PATH="/usr/bin:/bin"\nexport PATH\nfor i in /etc/profile.d/*.sh; do . $i; done\n',
      'bash.bashrc': "# TOKEN=no\nPS1='$debian_chroot\\u@\\h:\\w\\$ '\nalias ll='ls -l'\n",
      'skel/.bashrc': 'HISTCONTROL=ignoreboth\nif [ -x /usr/bin/tput ]; then color_prompt=yes; fi\n',
      'profile.d/lang.sh': 'export LANG=C.UTF-8 LC_ALL=C.UTF-8\n',
      'apt/sources.list': 'deb [arch=amd64] https://deb.example.org/debian stable main\n',
      'apt/apt.conf.d/01auto':
        '// a comment\nAPT\n{\n  NeverAutoRemove { "^linux.*"; };\n};\nDPkg::Post-Invoke { "true"; };\n',
      'apt/apt.conf.d/02proxy': 'Acquire::http::Proxy "http://proxy.example.org:3128";\n',
      'login.defs': '# comment\nUID_MIN 1000\nPASS_MAX_DAYS 99999\n',
      'ssl/openssl.cnf': '[ req ]\ndefault_bits = 2048\n# input_password = x\n',
      inputrc: 'set bell-style none\n"\\e[1~": beginning-of-line\n',
    };
    expect(await copied(files)).toEqual(files);
  });

  it.each([
    ['profile.d/ci.sh', 'export CI_TOKEN=abc\n'],
    ['profile.d/more.sh', 'PATH=/bin; export PATH; if true; then vault=abc; fi\n'],
    ['profile.d/login.csh', 'setenv ARTIFACTS abc\n'],
    ['bash.bashrc', "alias db='mysql -pabc'\n"],
    ['skel/.profile', 'declare -x NPM="abc"\n'],
    ['wgetrc', 'proxy_user = a\nproxy_password = abc\n'],
    ['apt/apt.conf.d/90', 'Acquire::https::Header "Authorization: abc";\n'],
    ['apt/apt.conf.d/91', 'Acquire { https { Header "abc"; }; };\n'],
    ['apt/apt.conf.d/92', 'Custom::Login "abc";\n'],
    ['apt/sources.list.d/x.list', 'deb https://me:abc@deb.example.org/ stable main\n'],
    ['apt/auth.conf', 'machine deb.example.org login me password abc\n'],
    ['ssl/own.pem', '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n'],
  ])('has no %s with unknown settings: %s', async (path, content) => {
    expect(await copied({ [path]: content })).toEqual({});
  });

  it.each([
    ['login.defs', 'UID_MIN 1000\nmirror_login abc\n', 'UID_MIN 1000\n'],
    ['adduser.conf', 'DSHELL=/bin/bash\napi=abc\n', 'DSHELL=/bin/bash\n'],
    ['ssl/openssl.cnf', '[ req ]\ninput_password = abc\nbits = 1\n', '[ req ]\nbits = 1\n'],
  ])('has %s without unneeded lines', async (path, content, left) => {
    expect(await copied({ [path]: content })).toEqual({ [path]: left });
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { accountFiles } from '../../../../src/engines/oci/host/accounts.ts';

async function etcWith(files: Record<string, string>): Promise<string> {
  const etc = await mkdtemp(join(tmpdir(), 'etc-'));
  onTestFinished(() => rm(etc, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(etc, name), text);
  return etc;
}

describe('accounts of a sandbox', () => {
  it('are its own and the names and ids of the system accounts of the host', async () => {
    const etc = await etcWith({
      passwd: [
        'root:hash:0:0:The Boss:/root:/bin/zsh',
        'www-data:x:33:33:secret note:/var/www:/bin/sh',
        '_apt:x:42:65534::/nonexistent:/usr/sbin/nologin',
        'alice:x:1001:1001:Alice:/home/alice:/bin/bash',
        'systemd-oom:x:998:998::/:/usr/sbin/nologin',
        '',
      ].join('\n'),
      group: ['root:x:0:alice', 'ssl-cert:hash:101:alice,bob', 'people:x:1500:alice', ''].join('\n'),
    });
    const { passwd, group } = await accountFiles(etc);
    expect(passwd.split('\n')).toEqual([
      'root:x:0:0:root:/root:/bin/bash',
      'vercel-sandbox:x:1000:1000:Vercel Sandbox:/home/vercel-sandbox:/bin/bash',
      'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
      'www-data:x:33:33::/nonexistent:/usr/sbin/nologin',
      '_apt:x:42:65534::/nonexistent:/usr/sbin/nologin',
      'systemd-oom:x:998:998::/nonexistent:/usr/sbin/nologin',
      '',
    ]);
    expect(group).toBe('root:x:0:\ntty:x:5:\nvercel-sandbox:x:1000:\nnogroup:x:65534:\nssl-cert:x:101:\n');
  });

  it('omit entries that conflict with its own, and malformed lines', async () => {
    const etc = await etcWith({
      passwd:
        'vercel-sandbox:x:12:12:::\ntoor:x:0:0:::\n+::::::\nbad name:x:3:3:::\nx:x:-1:1:::\ny:x:7:q:::\n\n',
      group: 'terminals:x:5:\n../x:x:9:\n',
    });
    const { passwd, group } = await accountFiles(etc);
    expect(passwd.split('\n')).toHaveLength(4);
    expect(group.split('\n')).toHaveLength(5);
  });

  it('are only its own when the host has no such files', async () => {
    const { passwd, group } = await accountFiles(await etcWith({}));
    expect(passwd.split('\n')).toHaveLength(4);
    expect(group.split('\n')).toHaveLength(5);
  });
});

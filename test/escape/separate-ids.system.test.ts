/**
 * Each sandbox of a root server has ids of its own on the host, while their files on disk have those of the state
 * directory: layers and volumes that several sandboxes use show the same owners in all of them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const isRoot = process.getuid?.() === 0;
const hasProgram = (name: string) =>
  ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'].some((dir) => existsSync(join(dir, name)));
const SIZE = 65_536;

const recordSchema = z.object({ init: z.object({ pid: z.number() }), idBase: z.number().nullable() });

/** Owners, a mode and attributes that a change of owner would take away. */
const MAKE = `
import os, struct
os.makedirs('/srv/kept/of-user')
os.chown('/srv/kept/of-user', 1000, 1000)
for name, owner, mode in [('root', 0, 0o600), ('user', 1000, 0o640), ('setuid', 1000, 0o4755), ('other', 4321, 0o2755)]:
    path = '/srv/kept/' + name
    open(path, 'w').write(name)
    os.chown(path, owner, owner)
    os.chmod(path, mode)
entry = lambda tag, perm, who=0xffffffff: struct.pack('<HHI', tag, perm, who)
acl = struct.pack('<I', 2) + entry(1, 6) + entry(2, 4, 1000) + entry(4, 0) + entry(16, 4) + entry(32, 0)
os.setxattr('/srv/kept/root', 'system.posix_acl_access', acl)
os.setxattr('/srv/kept/other', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0))
os.rename('/usr/share/doc', '/usr/share/renamed')
os.chown('/usr/share/renamed', 1000, 1000)
os.remove('/etc/hosts')
`;
const SHOW = `
import os
for name in ['.', 'of-user', 'root', 'user', 'setuid', 'other']:
    path = '/srv/kept/' + name
    info = os.lstat(path)
    print(name, info.st_uid, info.st_gid, oct(info.st_mode), *sorted((key, os.getxattr(path, key).hex()) for key in os.listxattr(path)))
print(os.lstat('/usr/share/renamed').st_uid, os.path.exists('/etc/hosts'), os.path.exists('/usr/share/doc'))
print(os.lstat('/usr/bin').st_uid, os.lstat('/etc/passwd').st_uid, os.lstat('/vercel/sandbox').st_uid)
`;

describe.each(['crun', 'runc'])('with %s', (runtime) => {
  const present = isRoot && hasProgram(runtime);
  describe('sandboxes of one server', needs(`root, and ${runtime}`, present), () => {
    let server: RunningServer;

    beforeAll(async () => {
      server = await startServer({ args: ['--oci-runtime', runtime, '--max-sandboxes', '20'] });
    });
    afterAll(() => server.close());

    async function create(args: Record<string, unknown> = {}): Promise<string> {
      const { structured, text } = await server.call('sandbox_create', args);
      expect(structured['status'], text).toBe('running');
      return String(structured['sandbox_id']);
    }

    async function python(sandbox_id: string, script: string, sudo = true): Promise<unknown> {
      const request = { sandbox_id, cmd: 'python3', args: ['-c', script], sudo };
      const { structured, text } = await server.call('sandbox_run_command', request);
      expect(structured['exit_code'], text).toBe(0);
      return structured['stdout'];
    }

    async function recordOf(sandboxId: string) {
      const path = join(server.stateDir, 'sandboxes', sandboxId, 'record.json');
      return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    }

    /** First and last id of the host that a process of the sandbox can have. */
    async function rangeOf(sandboxId: string, map: string): Promise<[number, number]> {
      const { init } = await recordOf(sandboxId);
      const lines = readFileSync(`/proc/${init.pid}/${map}`, 'utf8').trim().split('\n');
      expect(lines).toHaveLength(1);
      const [inside, first = 0, count = 0] = lines[0]?.trim().split(/\s+/).map(Number) ?? [];
      expect([inside, count]).toEqual([0, SIZE]);
      return [first, first + count - 1];
    }

    const diskBase = () => Number(readFileSync(join(server.stateDir, 'uid-range.json'), 'utf8'));

    it('have ranges that overlap neither each other nor that of their files', async () => {
      const made = await Promise.all([create(), create(), create()]);
      for (const map of ['uid_map', 'gid_map']) {
        const ranges = await Promise.all(made.map((id) => rangeOf(id, map)));
        const all = [...ranges, [diskBase(), diskBase() + SIZE - 1] as const].sort(([a], [b]) => a - b);
        for (const [index, [first]] of all.entries()) expect(first).toBeGreaterThan(all[index - 1]?.[1] ?? 0);
      }
      const [base] = await rangeOf(made[0] ?? '', 'uid_map');
      expect((await recordOf(made[0] ?? '')).idBase).toBe(base);
      // The process outside that holds its connections, too.
      const relays = readdirSync('/proc').flatMap((pid) => {
        try {
          const relay = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0relay\0');
          const status = relay ? readFileSync(`/proc/${pid}/status`, 'utf8') : '';
          return status.includes(`PPid:\t${server.pid}\n`)
            ? [Number(/^Uid:\t\d+\t(\d+)/m.exec(status)?.[1])]
            : [];
        } catch {
          return [];
        }
      });
      const inRange = (id: number) => relays.some((uid) => uid >= id && uid < id + SIZE);
      for (const id of made) expect(inRange((await rangeOf(id, 'uid_map'))[0])).toBe(true);
      const { structured } = await server.call('session_info');
      expect(JSON.stringify(structured['engine'])).toContain('a uid range for each sandbox');
      expect(JSON.stringify(structured['engine'])).not.toContain('share their user ids');
    });

    it('keep owners, modes and attributes in a snapshot that another one restores', async () => {
      const first = await create();
      await python(first, MAKE);
      const shown = await python(first, SHOW);
      expect(shown).toContain('setuid 1000 1000 0o104755\n');
      expect(shown).toContain('security.capability');
      const upper = join(server.stateDir, 'sandboxes', first, 'layers/upper');
      expect((await lstat(join(upper, 'srv/kept/setuid'))).uid).toBe(diskBase() + 1_000);
      const [before] = await rangeOf(first, 'uid_map');
      const fork = await server.call('sandbox_snapshot', { sandbox_id: first, keep_running: true });
      const moved = await server.call('sandbox_snapshot', { sandbox_id: first });
      for (const { structured } of [fork, moved]) {
        const source = { type: 'snapshot', snapshot_id: structured['snapshot_id'] };
        const restored = await create({ source });
        expect(await python(restored, SHOW)).toBe(shown);
        // What is copied up from a snapshot keeps its owner, and root may change it.
        await python(
          restored,
          `import os; open('/srv/kept/user', 'a').write('!'); os.chown('/srv/kept/root', 7, 7)`,
        );
        expect(await python(restored, `import os; print(os.stat('/srv/kept/user').st_uid)`)).toBe('1000\n');
        const [base] = await rangeOf(restored, 'uid_map');
        expect(base).not.toBe(before);
        const second = await server.call('sandbox_snapshot', { sandbox_id: restored });
        const again = await create({
          source: { type: 'snapshot', snapshot_id: second.structured['snapshot_id'] },
        });
        expect(await python(again, `import os; print(os.stat('/srv/kept/root').st_uid)`)).toBe('7\n');
      }
    });

    it('see the same owners in a volume that they share', async () => {
      const volumes = [{ name: 'shared', path: '/data' }];
      const [one, two] = [await create({ volumes }), await create({ volumes })];
      await python(one, `open('/data/of-user', 'w').write('one')`, false);
      await python(
        one,
        `import os; open('/data/of-root', 'w').write('one'); os.chmod('/data/of-root', 0o600)`,
      );
      const show = `import os; print(*[os.stat('/data/' + name).st_uid for name in ['.', 'of-user', 'of-root']])`;
      expect(await python(one, show)).toBe('1000 1000 0\n');
      expect(await python(two, show)).toBe('1000 1000 0\n');
      await python(two, `open('/data/of-user', 'a').write('two')`, false);
      expect(await python(one, `print(open('/data/of-user').read())`, false)).toBe('onetwo\n');
      const denied = `import os\ntry: open('/data/of-root')\nexcept PermissionError: print('denied')`;
      expect(await python(two, denied, false)).toBe('denied\n');
    });

    it('have their user’s files of transfers and workspaces', async () => {
      await mkdir(join(server.cwd, 'folder/deep'), { recursive: true });
      await writeFile(join(server.cwd, 'folder/deep/file'), 'host\n');
      const sandbox_id = await create({ workspace: { local_path: 'folder', path: '/vercel/sandbox/work' } });
      const up = { sandbox_id, local_path: 'folder', remote_path: 'copy' };
      expect((await server.call('sandbox_upload_file', up)).isError).toBe(false);
      await python(
        sandbox_id,
        `import os
assert os.stat('work/deep/file').st_uid == os.stat('copy/deep/file').st_uid == os.getuid() == 1000
open('work/deep/file', 'a').write('inside\\n')
open('work/made', 'w').write('made\\n')`,
        false,
      );
      const listed = await server.call('sandbox_list_files', { sandbox_id, path: 'copy' });
      expect(listed.text).toContain('deep');
      const changes = await server.call('sandbox_changes', { sandbox_id });
      expect(changes.structured['counts']).toMatchObject({ added: 1, modified: 1 });
      await server.call('sandbox_apply_changes', { sandbox_id });
      expect(await readFile(join(server.cwd, 'folder/deep/file'), 'utf8')).toBe('host\ninside\n');
      const down = { sandbox_id, remote_path: 'copy', local_path: 'back' };
      expect((await server.call('sandbox_download_file', down)).isError).toBe(false);
      expect(await readFile(join(server.cwd, 'back/deep/file'), 'utf8')).toBe('host\n');
    });
  });
});

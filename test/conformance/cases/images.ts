import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, type TestContext } from 'vitest';
import type { Images, Sandbox } from '../../../src/engines/engine.ts';
import { busyboxEntries, dockerArchive, tarOf } from '../../support/archives.ts';
import { HOST_ADDRESS } from '../../support/source-server.ts';
import { describeCases } from '../support/contract-cases.ts';
import { createRequest, timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** Import, use, list, remove. */
export function imageCases(get: () => Subject, extent: Extent): void {
  function imagesOf(context: TestContext): Images {
    const { engine } = get();
    return engine.images ?? context.skip(`engine ${engine.name} has no images`);
  }

  async function imported(context: TestContext, name: string): Promise<Images> {
    const images = imagesOf(context);
    const entries =
      busyboxEntries() ?? context.skip('busybox-static is missing; `npm test` as root installs it');
    const folder = await mkdtemp(join(tmpdir(), 'archive-'));
    try {
      const archive = join(folder, 'image.tar');
      const layers = [tarOf(entries)];
      await writeFile(
        archive,
        gzipSync(tarOf(dockerArchive(layers, { env: ['FROM_IMAGE=yes', 'HOME=/elsewhere'] }))),
      );
      await images.import({ name, archive, maxBytes: 100_000_000 }, timeoutSignal());
    } finally {
      await rm(folder, { recursive: true });
    }
    return images;
  }

  async function shell(sandbox: Sandbox, script: string, sudo = false): Promise<string> {
    const done = await run({ ...get(), shared: sandbox }, 'sh', ['-c', script], { sudo });
    if (done.exitCode !== 0) throw new Error(`${script}: ${done.exitCode}\n${done.stdout}\n${done.stderr}`);
    return done.stdout.trim();
  }

  describeCases('images', extent, (it) => {
    it('are separate root file systems, which each sandbox changes only for itself', async (context) => {
      const images = await imported(context, 'tiny');
      const { create, engine } = get();
      const sandbox = await create({ runtime: 'tiny', env: { OWN: 'too' } });
      expect(sandbox).toMatchObject({ runtime: 'tiny', status: 'running' });
      expect(
        await shell(sandbox, 'cat /etc/motd; ls -d /usr /bin 2>&1; echo $FROM_IMAGE $OWN $HOME $SHELL; pwd'),
      ).toBe(
        [
          'imported',
          'ls: /usr: No such file or directory',
          '/bin',
          'yes too /home/vercel-sandbox /bin/sh',
          '/vercel/sandbox',
        ].join('\n'),
      );
      await shell(
        sandbox,
        'echo changed > /etc/motd && rm -rf /var/data && mkdir /bin/more && echo x > /home/x',
        true,
      );
      expect(
        await shell(sandbox, 'cat /etc/motd; ls /var/data 2>&1 || whoami; echo mine > file; cat file'),
      ).toMatch(/^changed\nls: .*\n(vercel-sandbox|root)\nmine$/);
      expect(await shell(sandbox, 'echo x > /tmp/x; stat -c %a /tmp; rm /tmp/x')).toBe('1777');
      // As in Alpine's /etc/profile.
      const profile = 'export PATH=/bin; for i in /etc/profile.d/*.sh; do . $i; done';
      await shell(sandbox, `echo '${profile}' > /etc/profile`, true);
      for (const sudo of [false, true]) {
        expect(await shell(sandbox, 'PATH=/own:$PATH /bin/busybox ash -lc \'echo "$PATH"\'', sudo)).toMatch(
          /^\/own:/,
        );
      }
      const second = await create({ runtime: 'tiny' });
      expect(await shell(second, 'cat /etc/motd /var/data/file')).toBe('imported\ndata');
      const [image] = await images.list(timeoutSignal());
      expect(image).toMatchObject({ name: 'tiny', kind: 'rootfs', version: null, arch: process.arch });
      expect(image?.sizeBytes).toBeGreaterThan(1_000);
      expect(image?.usedBy.sort()).toEqual([sandbox.sandboxId, second.sandboxId].sort());
      for (const { sandboxId } of [sandbox, second]) await engine.forget(sandboxId, timeoutSignal());
      await images.remove('tiny', timeoutSignal());
      expect(await images.list(timeoutSignal())).toEqual([]);
    });

    it('have the network access that the sandbox’s policy allows', async (context) => {
      const { engine, create } = get();
      const { networkPolicies } = engine;
      const { networkModes } = await engine.limits(timeoutSignal());
      if (!networkPolicies || !networkModes.includes('custom') || HOST_ADDRESS === null)
        return context.skip('sandboxes cannot reach this host');
      const images = await imported(context, 'tiny');
      const server = createServer((_request, response) => response.end('from outside\n'));
      server.listen(0, HOST_ADDRESS);
      try {
        await once(server, 'listening');
        const address = server.address();
        const port = typeof address === 'object' ? address?.port : null;
        const networkPolicy = { mode: 'custom' as const, subnets: { allow: [`${HOST_ADDRESS}/32`] } };
        const sandbox = await create({ runtime: 'tiny', networkPolicy });
        // A static wget would need libraries for name resolution that this image does not have.
        const request = `GET / HTTP/1.1\\r\\nHost: ${HOST_ADDRESS}\\r\\nConnection: close\\r\\n\\r\\n`;
        const ask = `printf '${request}' | /bin/busybox nc -w 5 ${HOST_ADDRESS} ${port}`;
        expect(await shell(sandbox, ask)).toContain('from outside');
        await networkPolicies.update(sandbox.sandboxId, { mode: 'deny-all' }, timeoutSignal());
        expect(await shell(sandbox, ask)).toContain('403 Forbidden');
        await engine.forget(sandbox.sandboxId, timeoutSignal());
      } finally {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
      await images.remove('tiny', timeoutSignal());
    });

    it('keep file owners, or report that they could not', async (context) => {
      const images = await imported(context, 'owned');
      const { create, engine } = get();
      const { notes } = (await images.list(timeoutSignal()))[0] ?? { notes: [] };
      const sandbox = await create({ runtime: 'owned' });
      const owners = await shell(sandbox, 'stat -c "%u:%g %a" /srv/owned', true);
      expect(owners).toBe(notes.length === 0 ? '7:8 4640' : '0:0 4640');
      if (notes.length > 0) expect(notes.join()).toContain('2 entries belong to root');
      // If there is no other user to fetch as, configure apt accordingly.
      const apt = await shell(sandbox, 'cat /etc/apt/apt.conf.d/00sandbox 2>&1 || true');
      expect(apt.includes('Sandbox::User "root"')).toBe(notes.length > 0);
      await engine.forget(sandbox.sandboxId, timeoutSignal());
      await images.remove('owned', timeoutSignal());
    });

    it('open a terminal with the shell they contain', async (context) => {
      const images = await imported(context, 'shell');
      const { create, engine } = get();
      if (engine.shells === undefined) return context.skip(`engine ${engine.name} has no terminals`);
      const { sandboxId } = await create({ runtime: 'shell' });
      const shell = await engine.shells.open(
        { sandboxId, command: ['/bin/bash'], cwd: null, env: {}, sudo: false, cols: 80, rows: 24 },
        timeoutSignal(),
      );
      await shell.write(Buffer.from('exit 7\n'));
      for await (const chunk of shell.output) expect(chunk.toString()).not.toContain('not found');
      expect(await shell.exit).toMatchObject({ exitCode: 7 });
      await shell.close();
      await engine.forget(sandboxId, timeoutSignal());
      await images.remove('shell', timeoutSignal());
    });

    it('cannot be removed while a sandbox or a snapshot uses them', async (context) => {
      const images = await imported(context, 'used');
      const { create, engine, other } = get();
      const refused = (id: string) =>
        expect(images.remove('used', timeoutSignal())).rejects.toMatchObject({
          code: 'conflict',
          message: expect.stringContaining(id),
        });
      const { sandboxId } = await create({ runtime: 'used' });
      await refused(sandboxId);
      await expect(other.images?.remove('used', timeoutSignal())).rejects.toMatchObject({ code: 'conflict' });
      if (engine.snapshots !== undefined) {
        await shell(
          await engine.get(sandboxId, timeoutSignal()),
          'echo kept > /etc/kept && rm /etc/motd',
          true,
        );
        const { snapshotId } = await engine.snapshots.take(sandboxId, null, timeoutSignal());
        await refused(snapshotId);
        const source = { type: 'snapshot' as const, snapshotId };
        const restored = await create({ source });
        expect(restored.runtime).toBe('used');
        expect(await shell(restored, 'cat /etc/kept /var/data/file; test -e /etc/motd || echo gone')).toBe(
          'kept\ndatagone',
        );
        await engine.snapshots.delete(snapshotId, timeoutSignal());
        await refused(restored.sandboxId);
        await engine.stop(restored.sandboxId, 'requested', timeoutSignal());
      } else await engine.stop(sandboxId, 'requested', timeoutSignal());
      await images.remove('used', timeoutSignal());
    });

    it('that do not exist are reported with those that do', async (context) => {
      const images = await imported(context, 'there');
      const { engine } = get();
      await expect(engine.create(createRequest({ runtime: 'thare' }), timeoutSignal())).rejects.toMatchObject(
        {
          code: 'invalid_argument',
          message: expect.stringContaining('thare'),
          hint: expect.stringContaining('there'),
        },
      );
      await images.remove('there', timeoutSignal());
      await expect(images.remove('there', timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
    });
  });
}

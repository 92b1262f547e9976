/** On a Debian that has Node and nothing else, one line sets up a client, whose first prompt runs Python 3.13. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { type DebianArchive, makeDebian } from '../images/support/debian.ts';
import { missingTools } from '../images/support/image-tools.ts';
import { type NpmRegistry, startNpmRegistry } from '../scripts/support/npm-registry.ts';
import { needs } from '../support/needs.ts';
import { KINDS, openFreshDebian } from './support/fresh-debian.ts';
import { oneLine } from './support/one-line.ts';
import { type PythonImage, servePythonImage } from './support/python-image.ts';
import { packPackage } from './support/server-image.ts';

const lack =
  process.env['TEST_CONTAINER'] === '1'
    ? missingTools('mmdebstrap', 'skopeo', 'docker-registry')
    : 'npm run test:container';

describe('a fresh Debian', needs(lack ?? '', lack === null), () => {
  let home = '';
  let python: PythonImage | string;
  let debian: DebianArchive | string;
  let npm: NpmRegistry;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'fresh-'));
    npm = await startNpmRegistry(packageJson, await packPackage(home));
    [python, debian] = await Promise.all([servePythonImage(), makeDebian({ include: ['mount'] })]);
  });

  afterAll(async () => {
    if (typeof debian === 'object') await debian.remove();
    if (typeof python === 'object') await python.close();
    await npm?.close();
    await rm(home, { recursive: true, force: true });
  });

  it.for(KINDS)('is set up by one line, as %s', async (kind, context) => {
    if (typeof python === 'string') return context.skip(python);
    if (typeof debian === 'string') return context.skip(debian);
    const machine = await openFreshDebian(debian.path, kind);
    try {
      await oneLine(machine, { python, npm: npm.url });
    } finally {
      await machine.close();
    }
  });
});

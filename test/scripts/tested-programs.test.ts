/** A test whose program nobody installs is skipped in CI for ever. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const PREPARED = readFileSync(join(ROOT, 'scripts/prepare-machine.mjs'), 'utf8');

it.each([
  ['redis-server', 'test/server/http/replicas/replicas.system.test.ts'],
  ['nginx', 'test/server/http/deploy.system.test.ts'],
  ['caddy', 'test/server/http/deploy.system.test.ts'],
  ['bindfs', 'test/tools/workspaces/workspace.system.test.ts'],
  ['buildah', 'test/cli/image.system.test.ts'],
])('the programs that tests need are installed for them: %s', (program, test) => {
  expect(readFileSync(join(ROOT, test), 'utf8')).toContain(program);
  const [, installed = ''] = /const TESTED_PROGRAMS = \{([^}]*)\}/.exec(PREPARED) ?? [];
  expect(installed.replaceAll("'", '')).toContain(`  ${program}: `);
});

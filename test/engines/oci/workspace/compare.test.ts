import { mkdirSync, mkdtempSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compare } from '../../../../src/engines/oci/workspace/compare.ts';
import { digest } from '../../../../src/engines/oci/workspace/digest.ts';
import { openSides } from './support/open-sides.ts';

let root: string;
let sides: Awaited<ReturnType<typeof openSides>>;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'compare-')));
  sides = await openSides(root);
});
afterEach(async () => {
  await sides.close();
  rmSync(root, { recursive: true });
});

/** A program that lists these entries of the upper layer, as the agent does. */
function lister(entries: { path: string; kind: string; size: number }[]): string {
  const listing = entries.map(({ path, kind, size }) => `${kind} 644 ${size} 0 - ${path.length} ${path}`);
  writeFileSync(join(root, 'listing'), `${listing.join('')}e`);
  writeFileSync(join(root, 'agent'), `#!/bin/sh\nexec cat '${join(root, 'listing')}'\n`, { mode: 0o755 });
  return join(root, 'agent');
}

function write(side: 'folder' | 'upper', path: string, text: string): void {
  mkdirSync(dirname(join(root, side, path)), { recursive: true });
  writeFileSync(join(root, side, path), text);
}

describe('changes of a workspace', () => {
  it('refuse rules of what sandboxes see at any depth: each folder may be a workspace', async () => {
    const paths = ['.sandboxignore', 'packages/app/.sandboxignore', 'x/.SandboxIgnore', 'x.sandboxignore'];
    for (const path of paths) write('upper', path, '!.env\n');
    write('folder', 'gone/.sandboxignore', 'private\n');
    const added = paths.map((path) => ({ path, kind: 'f', size: 6 }));
    const agent = lister([...added, { path: 'gone/.sandboxignore', kind: 'w', size: 0 }]);
    const { changes } = await compare(sides, agent, new AbortController().signal);
    const refused = 'it decides what sandboxes see of its folder';
    expect(changes.map((change) => [change.path, change.refused])).toEqual([
      ['.sandboxignore', refused],
      ['gone/.sandboxignore', refused],
      ['packages/app/.sandboxignore', refused],
      ['x.sandboxignore', null],
      ['x/.SandboxIgnore', refused],
    ]);
  });

  it('stop in the middle of a file when the call is cancelled', async () => {
    write('upper', 'sparse', '');
    truncateSync(join(root, 'upper/sparse'), 2 ** 42);
    const controller = new AbortController();
    const found = digest(sides.upper, 'sparse', 2 ** 42, controller.signal);
    controller.abort(new Error('cancelled'));
    await expect(found).rejects.toThrow('cancelled');
  });
});

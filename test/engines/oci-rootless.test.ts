/** The contract suite once more, in a process of an ordinary user: with subordinate ids, and with a single id. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const ROOT = join(import.meta.dirname, '../..');
const USER = { name: 'sandboxtester', uid: 4_242 };
/** Far from the ids of a real user of the machine, and from those of the engine as root. */
const RANGE = '2000000000:65536';
const isRoot = process.getuid?.() === 0;

/** Runs in a mount namespace of its own, so that the machine gets neither a user nor a line in /etc/subuid. */
const SCRIPT = `set -e
mount --make-rprivate /
for name in passwd group subuid subgid; do
  [ -e "/etc/$name" ] && mount --bind "$1/$name" "/etc/$name"
done
mount --bind "$2" "$1/work"
cd "$1/work"
exec setpriv --reuid "$3" --regid "$3" --clear-groups env HOME="$1/home" TMPDIR="$1/tmp" \\
  node node_modules/vitest/vitest.mjs run --config test/engines/rootless.config.ts --configLoader runner \\
  --reporter json --outputFile "$1/home/report.json"`;

const reportSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()) }),
      ),
    }),
  ),
});

async function runAsOrdinaryUser(subordinate: boolean) {
  const scratch = await mkdtemp(join(tmpdir(), 'user-'));
  try {
    for (const name of ['home', 'tmp', 'work']) await mkdir(join(scratch, name));
    for (const name of ['.', 'home', 'tmp']) chownSync(join(scratch, name), USER.uid, USER.uid);
    const line = `${USER.name}:x:${USER.uid}:${USER.uid}::/nonexistent:/bin/sh\n`;
    await writeFile(join(scratch, 'passwd'), `root:x:0:0:root:/root:/bin/sh\n${line}`);
    await writeFile(join(scratch, 'group'), `root:x:0:\n${USER.name}:x:${USER.uid}:\n`);
    const ranges = subordinate ? `${USER.name}:${RANGE}\n` : '';
    for (const name of ['subuid', 'subgid']) await writeFile(join(scratch, name), ranges);
    const args = ['--mount', 'sh', '-c', SCRIPT, 'sh', scratch, ROOT, String(USER.uid)];
    const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    await once(child, 'close');
    const report = await readFile(join(scratch, 'home/report.json'), 'utf8').catch(() => {
      throw new Error(`the tests of the ordinary user did not run:\n${output}`);
    });
    return reportSchema.parse(JSON.parse(report));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

describe('engine contract: oci in a process of an ordinary user', () => {
  for (const [name, subordinate] of [
    ['with subordinate ids', true],
    ['with a single id', false],
  ] as const) {
    it(name, { timeout: 120_000 }, async (context) => {
      if (!isRoot)
        return context.skip('needs root, to become another user; the suite itself runs as this one');
      const report = await runAsOrdinaryUser(subordinate);
      const failed = report.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join('\n')}`);
      expect(failed).toEqual([]);
      expect(report.numPassedTests).toBeGreaterThan(40);
    });
  }
});

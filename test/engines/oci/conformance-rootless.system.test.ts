/**
 * A sample of the contract suite once more, in a process of an ordinary user: with subordinate ids, and with
 * a single id.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { canBecomeOrdinary, makeOrdinaryUser } from '../../support/ordinary-user.ts';
import { TIMEOUT_FACTOR } from '../../support/timeout-factor.ts';

const VITEST = [
  'node',
  'node_modules/vitest/vitest.mjs',
  'run',
  '--config',
  'test/engines/oci/support/rootless.config.ts',
  '--configLoader',
  'runner',
  '--reporter',
  'json',
  '--outputFile',
];

/** For about fifty tests one after another. */
const RUN_TIMEOUT_MS = 1_800_000 * TIMEOUT_FACTOR;

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

/** @param signal fires if the test is given up; the user's processes are then killed */
async function runAsOrdinaryUser(subordinate: boolean, signal: AbortSignal) {
  const user = await makeOrdinaryUser(subordinate);
  try {
    const reportFile = join(user.home, 'report.json');
    const isolation = `EXPECTED_ISOLATION=${subordinate ? 'subordinate ids' : 'a single id'}`;
    const [program = '', ...args] = user.command(['env', isolation, ...VITEST, reportFile]);
    // A process group of its own, so that the workers of the user's run can be killed with it.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const kill = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    signal.addEventListener('abort', kill, { once: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    await once(child, 'close');
    signal.removeEventListener('abort', kill);
    const report = await readFile(reportFile, 'utf8').catch(() => {
      throw new Error(`the ordinary user's tests did not run:\n${output}`);
    });
    return reportSchema.parse(JSON.parse(report));
  } finally {
    await user.remove();
  }
}

describe('engine contract: oci in a process of an ordinary user', () => {
  for (const [name, subordinate] of [
    ['with subordinate ids', true],
    ['with a single id', false],
  ] as const) {
    it(name, { timeout: RUN_TIMEOUT_MS }, async (context) => {
      if (!canBecomeOrdinary)
        return context.skip('needs root, to become another user; the suite itself already runs as this user');
      const report = await runAsOrdinaryUser(subordinate, context.signal);
      const failed = report.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join('\n')}`);
      expect(failed).toEqual([]);
      expect(report.numPassedTests).toBeGreaterThan(40);
    });
  }
});

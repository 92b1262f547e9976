/**
 * Before the first test of a project, and after its last: builds what system tests run, and fails when
 * anything is left behind.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { makeWarmState, WARM_STATE } from '../host/warm-state.ts';
import { leftovers, sandboxCgroups } from '../leftovers.ts';

const ROOT = join(import.meta.dirname, '../../..');
const uid = process.geteuid?.() ?? 0;
const PROBES = uid === 0 ? '/run/sandbox-mcp' : `/run/user/${uid}/sandbox-mcp`;
/** Time for processes to end asynchronously, such as a stopping server. */
const GRACE_MS = 20_000;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Unit tests run the sources, so that they need neither a build nor a compiler.
  if (project.name === 'system') build();
  // Short, since socket paths are limited; accessible, since root's sandboxes and tests of other users work
  // in it.
  const scratch = mkdtempSync(join(tmpdir(), 'sbxt-'));
  chmodSync(scratch, 0o1777);
  spreadFolders(scratch);
  // Passed to the workers, so that everything a test creates in the temporary folder belongs to this run.
  project.config.env['TMPDIR'] = scratch;
  const warmState = join(scratch, 'warm-state');
  if (project.name === 'system') await prepareWarmState(project, warmState);
  const cgroupsBefore = new Set(sandboxCgroups());
  const probesBefore = new Set(probesOfMachine());

  return async () => {
    rmSync(warmState, { recursive: true, force: true });
    const deadline = performance.now() + GRACE_MS;
    let left = leftovers(scratch, cgroupsBefore);
    while (left.length > 0 && performance.now() < deadline) {
      await delay(100);
      left = leftovers(scratch, cgroupsBefore);
    }
    if (left.length > 0) {
      // The runner reports errors thrown here, but exits with 0.
      process.exitCode = 1;
      throw new Error(`the tests left behind:\n${left.join('\n')}`);
    }
    rmSync(scratch, { recursive: true });
    for (const name of probesOfMachine()) {
      if (!probesBefore.has(name)) rmSync(join(PROBES, name), { force: true });
    }
    if (existsSync(PROBES) && probesOfMachine().length === 0) rmdirSync(PROBES);
  };
}

async function prepareWarmState(project: TestProject, folder: string): Promise<void> {
  try {
    await makeWarmState(folder);
    project.config.env[WARM_STATE] = folder;
  } catch (error) {
    // The tests then show what this machine lacks.
    project.vitest.logger.warn(
      `state directories start empty: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** What servers of this user found out about the machine's runtimes, which outlives their state directories. */
function probesOfMachine(): string[] {
  return existsSync(PROBES) ? readdirSync(PROBES) : [];
}

/**
 * Lets ext4 lay the folders made in this one far apart. Without a journal it passes over each inode that was
 * lately deleted nearby, one by one: after some hundred sandboxes a new file costs twenty times as much.
 */
function spreadFolders(folder: string): void {
  // Only for speed, so systems without the program or the flag do without it.
  spawnSync('chattr', ['+T', folder], { stdio: 'ignore' });
}

function build(): void {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/build.mjs'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the build failed:\n${stderr}`);
}

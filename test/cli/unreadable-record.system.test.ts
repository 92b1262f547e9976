/**
 * An unreadable ownership record: the command line prints a sentence and the file's path, not the server's
 * log.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runVerb } from '../support/run-verb.ts';

const SANDBOX_ID = 'sbx_222222222222';
let stateDir = '';
let file = '';

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'r-'));
  file = join(stateDir, 'records', `${SANDBOX_ID}.json`);
  mkdirSync(join(stateDir, 'records'));
  writeFileSync(file, '{ torn');
});

afterEach(() => {
  expect(readFileSync(file, 'utf8')).toBe('{ torn');
  rmSync(stateDir, { recursive: true });
});

describe('an ownership record that cannot be read', () => {
  it.each([['list'], ['clean']])('is reported after the output of %s', async (verb) => {
    const { out, err } = await runVerb([verb, '--state-dir', stateDir]);
    expect(out).not.toBe('');
    expect(err).toBe(
      `sandbox-mcp: An ownership record cannot be read; leaving it as it is.\n${file}: it is not JSON\n`,
    );
  });

  it.each([
    ['stop', SANDBOX_ID],
    ['logs', SANDBOX_ID],
    ['logs', `cmd_${SANDBOX_ID.slice(4)}_22222222`],
  ])('is the whole output of %s %s', async (verb, id) => {
    const { code, out, err } = await runVerb([verb, id, '--state-dir', stateDir]);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toBe(
      `sandbox-mcp: The ownership record of ${SANDBOX_ID} cannot be read.\n${file}: it is not JSON\n`,
    );
  });

  it('is in the log at the level that shows it', async () => {
    const { err } = await runVerb(['list', '--log-level', 'error', '--state-dir', stateDir]);
    expect(err).toMatch(/^\{"level":/);
    expect(err).toContain(file);
  });
});

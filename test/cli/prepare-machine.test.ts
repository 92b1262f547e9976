/** What `setup` does on a machine where sandboxes do not work yet. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareMachine } from '../../src/cli/verbs/prepare-machine.ts';
import type { Finding } from '../../src/engines/engine.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

let home = '';

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'prepare-'));
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

describe('setup on a machine where sandboxes do not work yet', () => {
  const mark = () => join(home, 'mark');
  const fix = (needsRoot: boolean): Finding => ({
    ...{ level: 'error', text: 'No OCI runtime is installed', advice: null },
    ...{ remedy: [['touch', mark()]], remedyNeedsRoot: needsRoot },
  });
  const prepare = async (given: {
    yes?: boolean;
    answer?: string;
    prefix?: string[] | null;
    needsRoot?: boolean;
  }) => {
    const { yes = false, answer = null, prefix = null, needsRoot = false } = given;
    const terminal = recordingTerminal();
    const questions: string[] = [];
    await prepareMachine(yes, {
      diagnose: async () => [
        existsSync(mark())
          ? { engine: 'oci', works: true, findings: [] }
          : { engine: 'oci', works: false, findings: [fix(needsRoot)] },
      ],
      asRoot: async () => prefix,
      ask: async (question) => {
        questions.push(question);
        return answer;
      },
      isRoot: false,
      terminal,
    });
    return { prepared: existsSync(mark()), questions: questions.length, said: terminal.errors() };
  };

  it('fixes that if the user agrees, or asked not to be asked', async () => {
    expect(await prepare({ answer: 'n' })).toMatchObject({ prepared: false, questions: 1 });
    expect(await prepare({})).toMatchObject({ prepared: false, questions: 1 });
    const agreed = await prepare({ answer: 'y' });
    expect(agreed).toMatchObject({ prepared: true, questions: 1 });
    expect(agreed.said).toContain('No OCI runtime is installed');
    expect(await prepare({ answer: 'y' })).toEqual({ prepared: true, questions: 0, said: '' });
    rmSync(mark());
    expect(await prepare({ yes: true })).toMatchObject({ prepared: true, questions: 0 });
  });

  it('runs what needs root only where that is possible without a password', async () => {
    const refused = await prepare({ yes: true, needsRoot: true });
    expect(refused).toMatchObject({ prepared: false, questions: 0 });
    expect(refused.said).toContain(`sudo touch ${mark()}`);
    expect(refused.said).toContain('Run `sandbox-mcp doctor`');
    expect(await prepare({ yes: true, needsRoot: true, prefix: ['env'] })).toMatchObject({ prepared: true });
  });
});

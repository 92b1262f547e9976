import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Dependencies } from '../../src/cli/dependencies.ts';
import { runProgram } from '../../src/cli/program.ts';
import { clean } from '../../src/cli/verbs/clean.ts';
import { loadConfig } from '../../src/config/config.ts';
import type { Registry } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

type Recovered = Awaited<ReturnType<Registry['recover']>>;

function registryThat(recover: () => Promise<Recovered>): Registry {
  return {
    openSession: () => {
      throw new Error('clean needs no session');
    },
    recover,
    publishPorts: () => {},
    forwardedUrl: () => null,
    publishRepositories: () => {},
    uploadPack: () => {
      throw new Error('clean fetches nothing');
    },
    usage: async () => ({ sandboxes: 0, commands: 0, shells: 0 }),
    close: async () => {},
  };
}

const nothing: Recovered = { stopped: [], forgotten: [], failed: [] };

describe('clean', () => {
  it('reports what it stopped and removed', async () => {
    const terminal = recordingTerminal();
    const recover = async () => ({ ...nothing, stopped: ['sbx_a'], forgotten: ['sbx_b', 'sbx_c'] });
    expect(await clean(registryThat(recover), false, terminal)).toBe(0);
    expect(terminal.output()).toBe('stopped    sbx_a\nforgotten  sbx_b\nforgotten  sbx_c\n');
    expect(terminal.errors()).toBe('');
  });

  it('says when there is nothing to clean', async () => {
    const terminal = recordingTerminal();
    expect(
      await clean(
        registryThat(async () => nothing),
        false,
        terminal,
      ),
    ).toBe(0);
    expect(terminal.output()).toBe('Nothing to clean.\n');
  });

  it('reports what failed and exits with 1', async () => {
    const terminal = recordingTerminal();
    const failed = [{ id: 'sbx_b', reason: 'The disk is full.' }];
    const recover = async () => ({ ...nothing, stopped: ['sbx_a'], failed });
    expect(await clean(registryThat(recover), false, terminal)).toBe(1);
    expect(terminal.output()).toBe('stopped    sbx_a\n');
    expect(terminal.errors()).toContain('failed     sbx_b  The disk is full.\n');
    expect(terminal.errors()).toContain('sandbox-mcp doctor');
  });

  it('does not report success when everything failed', async () => {
    const terminal = recordingTerminal();
    const failed = [{ id: 'oci', reason: 'The state directory cannot be used.' }];
    expect(
      await clean(
        registryThat(async () => ({ ...nothing, failed })),
        false,
        terminal,
      ),
    ).toBe(1);
    expect(terminal.output()).toBe('');
  });

  it('fails when recovery fails', async () => {
    const recover = () => Promise.reject(new SandboxError('unavailable', 'No state directory.'));
    await expect(clean(registryThat(recover), false, recordingTerminal())).rejects.toThrow(
      'No state directory.',
    );
  });
});

describe('a clean-up for a server that is ending', () => {
  it('begins when its standard input ends, which is when that server has ended', async () => {
    const terminal = recordingTerminal();
    let endServer = (): void => {};
    const serverEnded = new Promise<void>((resolve) => {
      endServer = resolve;
    });
    let opened = 0;
    const unused = () => {
      throw new Error('clean does not need it');
    };
    const dependencies: Dependencies = {
      version: '1',
      loadConfig,
      endOfInput: () => serverEnded,
      openRegistry: async () => {
        opened += 1;
        return registryThat(async () => nothing);
      },
      serve: unused,
      withImages: unused,
      withVolumes: unused,
      diagnose: unused,
      keyboard: unused,
      ask: unused,
      self: { command: '', args: [] },
      tools: unused,
    };
    const done = runProgram(['clean', '--after-input'], dependencies, terminal);
    await setImmediate();
    expect(opened).toBe(0);
    endServer();
    expect(await done).toBe(0);
    expect(terminal.output()).toBe('Nothing to clean.\n');
    // A clean-up of a person does not wait.
    const endless: Dependencies = { ...dependencies, endOfInput: () => new Promise(() => {}) };
    expect(await runProgram(['clean'], endless, terminal)).toBe(0);
  });
});

/** The command calls of the fault suite. */
import { expect } from 'vitest';
import { z } from 'zod';
import { newCommandId } from '../../../../src/shared/ids.ts';
import { timeoutSignal } from '../../../conformance/support/requests.ts';
import type { Attempt, Failure, FaultCall } from './fault-call.ts';

/** Prints the marker and exits with 7. */
const shellScript = (marker: string): string => `echo ${marker}; exit 7`;

const WHOLE = { stream: 'both' as const, offset: 0, limit: 1_000_000 };
/** Longer than one line of a stream, so that it can be cut in the middle. */
const longScript = (marker: string): string => `echo ${marker}; seq 1 20000; exit 7`;

function longOutput(marker: string): string {
  return `${marker}\n${Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join('')}`;
}

async function startLong({ world, sandboxId, marker }: Attempt): Promise<string> {
  return world.start(sandboxId, longScript(marker));
}

/**
 * Started at most once, and exactly once if reported as started; its output is complete, or its loss is
 * reported.
 */
async function onceAndWhole({ world, made, marker }: Attempt, failure: Failure | null): Promise<void> {
  const started = world.started(marker);
  expect(started).toBeLessThanOrEqual(1);
  if (failure === null) expect(started).toBe(1);
  const known = await world.patient.commands.get(made, timeoutSignal()).catch((error: unknown) => error);
  if (known instanceof Error) {
    // A command that cannot be found by its id was never started, or the error has said that it may have
    // been.
    if (started === 1) expect(failure?.text).toMatch(/may|whether|unknown/i);
    return;
  }
  const ended = await world.patient.commands.wait(made, timeoutSignal());
  const { text, droppedBytes } = await world.output(made);
  if (started === 1 && ended.exitCode === 7) {
    expect(droppedBytes).toBe(0);
    expect([`${marker}\n`, longOutput(marker)]).toContain(text);
  }
}

export const COMMAND_CALLS: readonly FaultCall[] = [
  {
    name: 'start a command',
    operations: ['command.run'],
    behind: ['command.logs', 'command.wait'],
    repeatable: false,
    sandbox: 'shared',
    prepare: async ({ sandboxId }) => newCommandId(sandboxId),
    run: (engine, { sandboxId, made, marker }) =>
      engine.commands.start(
        {
          commandId: made,
          sandboxId,
          cmd: 'sh',
          args: ['-c', shellScript(marker)],
          cwd: null,
          env: {},
          sudo: false,
          timeoutMs: null,
        },
        timeoutSignal(),
      ),
    right: (value, { made }) => expect(value).toMatchObject({ commandId: made, cmd: 'sh' }),
    async after(attempt, failure) {
      await onceAndWhole(attempt, failure);
      const { world, made, sandboxId, marker } = attempt;
      // The same id never causes a second run, whatever happened to the first.
      const again = world.patient.commands.start(
        {
          commandId: made,
          sandboxId,
          cmd: 'sh',
          args: ['-c', shellScript(marker)],
          cwd: null,
          env: {},
          sudo: false,
          timeoutMs: null,
        },
        timeoutSignal(),
      );
      await again.catch((error: unknown) => error);
      expect(world.started(marker)).toBeLessThanOrEqual(1);
    },
  },
  {
    name: 'get a command',
    operations: ['command.get', 'sandbox.get'],
    behind: ['command.logs', 'command.wait'],
    repeatable: true,
    sandbox: 'shared',
    prepare: ({ world, sandboxId }) => world.start(sandboxId, 'sleep 300'),
    run: (engine, { made }) => engine.commands.get(made, timeoutSignal()),
    right: (value, { made }) =>
      expect(value).toMatchObject({ commandId: made, status: 'running', exitCode: null }),
    async after({ world, made }) {
      await world.patient.commands.kill(made, 'SIGKILL', 'killed', timeoutSignal());
    },
  },
  {
    name: 'wait for a command',
    operations: ['command.wait', 'command.get', 'sandbox.get'],
    behind: ['command.logs'],
    repeatable: true,
    sandbox: 'shared',
    prepare: ({ world, sandboxId, marker }) => world.start(sandboxId, `sleep 0.1; ${shellScript(marker)}`),
    run: (engine, { made }) => engine.commands.wait(made, timeoutSignal()),
    right: (value, { made }) =>
      expect(value).toMatchObject({ commandId: made, status: 'finished', exitCode: 7, endedBy: 'exit' }),
    after: onceAndWhole,
  },
  {
    name: 'read output',
    operations: ['command.logs', 'command.wait', 'command.get', 'sandbox.get'],
    repeatable: true,
    sandbox: 'shared',
    prepare: startLong,
    run: async (engine, { made }) => {
      await engine.commands.wait(made, timeoutSignal());
      const { chunks, droppedBytes } = await engine.commands.readOutput(made, WHOLE, timeoutSignal());
      return { text: Buffer.concat(chunks.map(({ data }) => data)).toString(), droppedBytes };
    },
    right: (value, { marker }) => expect(value).toEqual({ text: longOutput(marker), droppedBytes: 0 }),
    after: onceAndWhole,
  },
  {
    name: 'wait for output',
    operations: ['command.logs', 'command.get', 'sandbox.get'],
    behind: ['command.wait'],
    repeatable: true,
    sandbox: 'shared',
    prepare: ({ world, sandboxId, marker }) => world.start(sandboxId, `sleep 0.1; ${shellScript(marker)}`),
    run: (engine, { made }) => engine.commands.waitForOutput(made, 0, timeoutSignal()),
    right: (value, { made }) => expect(value).toMatchObject({ commandId: made }),
    after: onceAndWhole,
  },
  {
    name: 'kill a command',
    operations: ['command.run', 'command.get', 'sandbox.get'],
    behind: ['command.logs', 'command.wait'],
    repeatable: false,
    sandbox: 'shared',
    prepare: ({ world, sandboxId, marker }) => world.start(sandboxId, `echo ${marker}; sleep 300`),
    run: (engine, { made }) => engine.commands.kill(made, 'SIGKILL', 'killed', timeoutSignal()),
    // If its end cannot be queried, it is reported as still running, never as killed.
    right: (value) => {
      const ended = { status: 'finished', exitCode: 137, signal: 'SIGKILL', endedBy: 'killed' };
      expect([ended, { status: 'running', exitCode: null, signal: null, endedBy: null }]).toContainEqual({
        ...z
          .object({ status: z.unknown(), exitCode: z.unknown(), signal: z.unknown(), endedBy: z.unknown() })
          .parse(value),
      });
    },
    async after({ world, made, marker }) {
      const killed = await world.patient.commands.kill(made, 'SIGKILL', 'killed', timeoutSignal());
      expect(killed).toMatchObject({ status: 'finished', exitCode: 137 });
      expect(await world.output(made)).toEqual({ text: `${marker}\n`, droppedBytes: 0 });
    },
  },
];

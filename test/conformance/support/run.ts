import type { Command, StartCommand } from '../../../src/engines/engine.ts';
import { newCommandId } from '../../../src/shared/ids.ts';
import { timeoutSignal } from './requests.ts';
import type { Subject } from './subject.ts';

/** Starts a command in the shared sandbox, or in the one named. */
export async function start(
  { engine, shared }: Subject,
  cmd: string,
  args: string[],
  options: Partial<StartCommand> = {},
): Promise<Command> {
  const sandboxId = options.sandboxId ?? shared.sandboxId;
  const request: StartCommand = {
    commandId: newCommandId(sandboxId),
    sandboxId,
    cmd,
    args,
    cwd: null,
    env: {},
    sudo: false,
    timeoutMs: null,
    ...options,
  };
  return engine.commands.start(request, timeoutSignal());
}

/** Everything that a command has written to these streams, without dropped bytes. */
export async function outputOf(
  { engine }: Pick<Subject, 'engine'>,
  commandId: string,
  stream: 'both' | 'stdout' | 'stderr' = 'stdout',
): Promise<string> {
  const slice = await engine.commands.readOutput(
    commandId,
    { stream, offset: 0, limit: 10_000_000 },
    timeoutSignal(),
  );
  return Buffer.concat(slice.chunks.map(({ data }) => data)).toString();
}

/** Runs a command to its end. */
export async function run(
  subject: Subject,
  cmd: string,
  args: string[],
  options: Partial<StartCommand> = {},
): Promise<Command & { stdout: string; stderr: string }> {
  const { commandId } = await start(subject, cmd, args, options);
  const command = await subject.engine.commands.wait(commandId, timeoutSignal());
  const [stdout, stderr] = [
    await outputOf(subject, commandId, 'stdout'),
    await outputOf(subject, commandId, 'stderr'),
  ];
  return { ...command, stdout, stderr };
}

/** Resolves once a command's output contains `text`. */
export async function untilOutput(subject: Subject, commandId: string, text: string): Promise<void> {
  let seen = -1;
  for (;;) {
    const command = await subject.engine.commands.waitForOutput(commandId, seen, timeoutSignal());
    if ((await outputOf(subject, commandId, 'both')).includes(text)) return;
    if (command.status === 'finished') throw new Error(`${commandId} ended without "${text}"`);
    seen = command.stdoutBytes + command.stderrBytes;
  }
}

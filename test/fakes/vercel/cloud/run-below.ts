/** Commands that the stand-in itself runs inside; they are not counted. */
import type { Engine } from '../../../../src/engines/engine.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';

/** For one command; longer than any of them takes. */
const COMMAND_MS = 300_000;

export async function runBelow(
  engine: Engine,
  sandboxId: string,
  cmd: string,
  args: string[],
  { sudo = false } = {},
): Promise<{ exitCode: number | null; stderr: string }> {
  const commandId = newCommandId(sandboxId);
  const plain = { cwd: null, env: {}, sudo, timeoutMs: null };
  await engine.commands.start({ ...plain, commandId, sandboxId, cmd, args }, AbortSignal.timeout(COMMAND_MS));
  const { exitCode } = await engine.commands.wait(commandId, AbortSignal.timeout(COMMAND_MS));
  const { chunks } = await engine.commands.readOutput(
    commandId,
    { stream: 'stderr', offset: 0, limit: 10_000 },
    AbortSignal.timeout(COMMAND_MS),
  );
  return { exitCode, stderr: Buffer.concat(chunks.map(({ data }) => data)).toString() };
}

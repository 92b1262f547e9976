/** Commands that the stand-in itself runs inside; they are not counted. */
import type { Engine } from '../../../../src/engines/engine.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';
import { never } from './cloud.ts';

export async function runBelow(
  engine: Engine,
  sandboxId: string,
  cmd: string,
  args: string[],
  { sudo = false } = {},
): Promise<{ exitCode: number | null; stderr: string }> {
  const commandId = newCommandId(sandboxId);
  const plain = { cwd: null, env: {}, sudo, timeoutMs: null };
  await engine.commands.start({ ...plain, commandId, sandboxId, cmd, args }, never());
  const { exitCode } = await engine.commands.wait(commandId, never());
  const { chunks } = await engine.commands.readOutput(
    commandId,
    { stream: 'stderr', offset: 0, limit: 10_000 },
    never(),
  );
  return { exitCode, stderr: Buffer.concat(chunks.map(({ data }) => data)).toString() };
}

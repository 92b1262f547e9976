/** Ends the session and shows, by inspecting the host, that nothing of the sandbox is left. */
import { formatDuration } from '../src/shared/duration.ts';
import { isProcessAlive } from '../src/shared/process-identity.ts';
import { plural } from '../src/shared/text/text.ts';
import { DemoError } from './demo-error.ts';
import type { Screen } from './screen.ts';
import type { DemoServer } from './server.ts';
import { keptFiles, type Subject, type Traces, tracesOf } from './traces.ts';

const CLEAN_UP_MS = 60_000;

/** @throws DemoError that names what is left */
export async function endCleanly(
  server: DemoServer,
  subject: Subject,
  screen: Screen,
  retentionMs: number,
): Promise<void> {
  const before = await tracesOf(subject);
  const started = performance.now();
  await server.close();
  const took = performance.now() - started;
  const after = await tracesWhenClean(subject, before);
  const serverLives = isProcessAlive(server.process);
  screen.step('end the session', took, "the server's input was closed; its process has exited", !serverLives);
  screen.note(`what this machine has of ${subject.sandboxId}: before the end → now`);
  screen.count('processes', before.processes.length, after.processes.length);
  screen.count('mounts', before.mounts.length, after.mounts.length);
  screen.count('cgroups', before.cgroups.length, after.cgroups.length);
  screen.count('open ports', before.ports.length, after.ports.length);
  screen.count('file system layers', before.layers.length, after.layers.length);
  const { files, bytes } = keptFiles(subject);
  screen.note(
    `its record and command logs stay readable for ${formatDuration(retentionMs)}: ${plural(files, 'file')}, ${plural(bytes, 'byte')}`,
  );
  const left = leftOf(after);
  if (left.length > 0) throw new DemoError(`The sandbox left behind: ${left.join(', ')}.`);
}

/** A server that has no time left to clean up starts a process that does, and exits. */
async function tracesWhenClean(subject: Subject, before: Traces): Promise<Traces> {
  const deadline = performance.now() + CLEAN_UP_MS;
  for (;;) {
    const after = await tracesOf(subject, before.processes);
    if (leftOf(after).length === 0 || performance.now() > deadline) return after;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function leftOf(traces: Traces): string[] {
  return [
    ...traces.processes.map(({ pid }) => `process ${pid}`),
    ...traces.mounts.map((line) => `mount ${line.split(' ')[4]}`),
    ...traces.cgroups,
    ...traces.ports.map((port) => `port ${port}`),
    ...traces.layers,
  ];
}

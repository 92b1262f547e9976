import { describe, expect, it } from 'vitest';
import { printOutput } from '../../src/cli/output/print-output.ts';
import type { Command, OutputSlice } from '../../src/engines/engine.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const finished: Command = {
  commandId: 'cmd_222222222222_22222222',
  sandboxId: 'sbx_222222222222',
  cmd: 'true',
  args: [],
  cwd: '/',
  status: 'finished',
  exitCode: 0,
  signal: null,
  endedBy: 'exit',
  startedAt: 0,
  durationMs: 0,
  stdoutBytes: 0,
  stderrBytes: 0,
};
const { signal } = new AbortController();

type Piece = readonly ['stdout' | 'stderr', Buffer | string];

/** A log with one slice per piece; `dropped` bytes are missing before the first. */
function logOf(pieces: readonly Piece[], dropped = 0) {
  const chunks = pieces.map(([stream, data]) => ({ stream, data: Buffer.from(data) }));
  const totalBytes = chunks.reduce((sum, { data }) => sum + data.length, dropped);
  return {
    async output({ offset }: { offset: number }): Promise<OutputSlice> {
      let at = dropped;
      for (const chunk of chunks) {
        const next = at + chunk.data.length;
        if (offset < next) {
          const droppedBytes = Math.max(0, at - offset);
          return { chunks: [{ ...chunk, offset: at }], nextOffset: next, totalBytes, droppedBytes };
        }
        at = next;
      }
      return { chunks: [], nextOffset: totalBytes, totalBytes, droppedBytes: 0 };
    },
    async waitForOutput(): Promise<Command> {
      return finished;
    },
  };
}

describe('printOutput', () => {
  it('writes the bytes unchanged to a pipe', async () => {
    const terminal = recordingTerminal();
    await printOutput(
      logOf([
        ['stdout', '\u001b[31mred\u0007'],
        ['stderr', '\r\n'],
      ]),
      finished,
      false,
      terminal,
      signal,
    );
    expect(terminal.output()).toBe('\u001b[31mred\u0007\r\n');
  });

  it('writes neither control sequences nor partial characters to a terminal', async () => {
    const terminal = recordingTerminal(true);
    const [first, second] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)];
    const pieces: Piece[] = [
      ['stdout', '\u001b]0;title\u0007\u001b[2Jred\u0007'],
      ['stdout', first],
      ['stderr', 'tab\there\u009b\n'],
      ['stdout', second],
    ];
    await printOutput(logOf(pieces), finished, false, terminal, signal);
    expect(terminal.output()).toBe('redtab\there\né');
  });

  it('reports what the log no longer holds', async () => {
    const terminal = recordingTerminal();
    await printOutput(logOf([['stdout', 'tail']], 1_000), finished, false, terminal, signal);
    expect(terminal.output()).toBe('tail');
    expect(terminal.errors()).toBe('[1000 bytes were not kept]\n');
  });

  it('waits for more only with follow', async () => {
    const running: Command = { ...finished, status: 'running', exitCode: null };
    const terminal = recordingTerminal();
    let waited = 0;
    const pieces: Piece[] = [['stdout', 'first\n']];
    const commands = {
      output: (request: { offset: number }) => logOf(pieces).output(request),
      waitForOutput: async () => {
        waited += 1;
        pieces.push(['stdout', 'last\n']);
        return finished;
      },
    };
    await printOutput(commands, running, false, terminal, signal);
    expect([waited, terminal.output()]).toEqual([0, 'first\n']);
    await printOutput(commands, running, true, terminal, signal);
    expect([waited, terminal.output()]).toEqual([1, 'first\nfirst\nlast\n']);
  });
});

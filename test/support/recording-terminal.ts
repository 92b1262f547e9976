import type { Terminal } from '../../src/cli/output/terminal.ts';

/** A terminal that records what is written to it. */
export function recordingTerminal(isScreen = false): Terminal & { output(): string; errors(): string } {
  const out: Buffer[] = [];
  const err: string[] = [];
  return {
    isScreen,
    out: (data) => {
      out.push(Buffer.from(data));
    },
    err: (text) => {
      err.push(text);
    },
    output: () => Buffer.concat(out).toString('utf8'),
    errors: () => err.join(''),
  };
}

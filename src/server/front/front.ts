import type { Readable, Writable } from 'node:stream';
import type { FrontAnswers } from './answers.ts';
import type { Era } from './revision.ts';

/** A client that has not listed the tools by then gets the server itself, which also starts recovery. */
const TAKE_OVER_MS = 1_000;
/** No message that the front answers is that long. */
const MAX_HELD_BYTES = 65_536;
const NEWLINE = 0x0a;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** What the front leaves to the server. The input is paused, and starts with what is not answered yet. */
export interface Handover {
  /** Answered messages that the server has to see as well, each one line. */
  readonly replay: readonly string[];
  /** The era of the conversation; null if its first message is still to come. */
  readonly era: Era | null;
  /** The parent process at the start; it may have exited since. */
  readonly parent: number;
  /** To be called once the server listens to the input and to signals. */
  release(): void;
}

export interface FrontOptions {
  answers: FrontAnswers;
  input: Readable;
  output: Writable;
  process: {
    readonly ppid: number;
    on(event: NodeJS.Signals, listener: () => void): unknown;
    off(event: NodeJS.Signals, listener: () => void): unknown;
  };
  /** Called if the conversation ends before the server takes over; nothing was started that has to be ended. */
  end(): void;
}

/** Answers the first messages. Resolves when the server has to take over. */
export function answerFirst({ answers, input, output, process, end }: FrontOptions): Promise<Handover> {
  return new Promise((resolve) => {
    const parent = process.ppid;
    const replay: string[] = [];
    let held = Buffer.alloc(0);

    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      for (let newline = held.indexOf(NEWLINE); newline !== -1; newline = held.indexOf(NEWLINE)) {
        const line = held.subarray(0, newline).toString('utf8');
        const answer = line.trim() === '' ? null : answers.answer(line);
        if (answer === null) {
          stopAnswering();
          return;
        }
        held = held.subarray(newline + 1);
        if (answer.reply !== null) output.write(`${answer.reply}\n`);
        if (answer.replay) replay.push(line);
        if (answer.last) {
          stopAnswering();
          return;
        }
      }
      if (held.length > MAX_HELD_BYTES) stopAnswering();
    };
    const stopAnswering = (): void => {
      clearTimeout(timer);
      input.off('data', onData).off('end', end).pause();
      if (held.length > 0) input.unshift(held);
      resolve({ replay, era: answers.era, parent, release });
    };
    const release = (): void => {
      output.off('error', end);
      input.off('error', end);
      for (const signal of SIGNALS) process.off(signal, end);
      input.resume();
    };
    const timer = setTimeout(stopAnswering, TAKE_OVER_MS);
    input.on('data', onData).on('end', end).on('error', end);
    output.on('error', end);
    for (const signal of SIGNALS) process.on(signal, end);
  });
}

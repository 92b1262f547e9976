/**
 * Recordings of a terminal in the asciicast format, version 2:
 * https://docs.asciinema.org/manual/asciicast/v2/
 */
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';

const header = z.object({
  version: z.literal(2),
  width: z.int().min(1),
  height: z.int().min(1),
  idle_time_limit: z.number().optional(),
  title: z.string().optional(),
});
const event = z.tuple([z.number(), z.literal('o'), z.string()]);

export interface Recording {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  /** Seconds; longer pauses are shortened to this. */
  readonly idleLimit: number;
  /** `time` in seconds from the start, as it was recorded. */
  readonly events: readonly { time: number; data: string }[];
}

/** The text of a `.cast` file. */
export function formatCast(recording: Recording): string {
  const { width, height, idleLimit, title } = recording;
  const head = { version: 2, width, height, idle_time_limit: idleLimit, title };
  const events = recording.events.map(({ time, data }) => [Number(time.toFixed(3)), 'o', data]);
  return [head, ...events].map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** @throws ZodError or SyntaxError for a text that is not a recording */
export function parseCast(text: string): Recording {
  const [first = '', ...rest] = text.trimEnd().split('\n');
  const head = header.parse(JSON.parse(first));
  return {
    width: head.width,
    height: head.height,
    title: head.title ?? '',
    idleLimit: head.idle_time_limit ?? Number.POSITIVE_INFINITY,
    events: rest.map((line) => {
      const [time, , data] = event.parse(JSON.parse(line));
      return { time, data };
    }),
  };
}

/**
 * The events of a typescript as `script --log-timing --log-out` of util-linux writes it: `timing` has a line
 * "SECONDS BYTES" for each piece of `output`, which begins with a header line.
 */
export function eventsOf(timing: string, output: Buffer): Recording['events'] {
  const decoder = new StringDecoder('utf8');
  let at = output.indexOf('\n') + 1;
  let time = 0;
  return timing
    .trim()
    .split('\n')
    .map((line) => {
      const [pause, bytes] = line.split(' ').map(Number);
      if (pause === undefined || bytes === undefined || Number.isNaN(pause + bytes)) {
        throw new Error(`not a line of timing: ${JSON.stringify(line)}`);
      }
      time += pause;
      const data = decoder.write(output.subarray(at, at + bytes));
      at += bytes;
      return { time, data };
    })
    .filter(({ data }) => data !== '');
}

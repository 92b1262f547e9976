import { z } from 'zod';
import type { Logs } from '../../src/registry/types.ts';
import { linearPattern } from '../../src/shared/text/linear-pattern.ts';
import { NOT_PLAIN } from '../../src/shared/text/output-text.ts';
import { textBlock } from '../../src/shared/text/text.ts';
import { READ_ONLY } from '../common/annotations.ts';
import { boundedWaitMs, commandId, outputStream } from '../common/schemas.ts';
import { defineTool } from '../common/tool.ts';
import { decodeCursor, encodeCursor } from './log-cursor.ts';

export const commandLogs = defineTool({
  name: 'command_logs',
  title: 'Command logs',
  description:
    'Read command output line by line from cursor (the previous next_cursor). grep is an RE2 pattern. wait_ms waits for new lines.',
  searchHint: 'tail, follow, grep output',
  toolsets: ['core', 'commands'],
  annotations: READ_ONLY,
  input: z.strictObject({
    command_id: commandId,
    cursor: z.string().optional(),
    limit: z.int().min(1).max(1_000).default(200),
    stream: outputStream,
    grep: z.string().optional(),
    context: z.int().min(0).max(20).default(0).describe('lines around a match'),
    wait_ms: boundedWaitMs.default(0),
  }),
  output: z.object({
    command_id: z.string(),
    lines: z.array(z.object({ stream: z.string(), data: z.string(), partial: z.boolean().optional() })),
    next_cursor: z.string(),
    done: z.boolean(),
    dropped_bytes: z.number(),
    unsearched_bytes: z.number(),
    note: z.string().optional(),
    next: z.string().nullable(),
  }),
  async handle(args, { session, signal, boundWait }) {
    const handle = await session.command(args.command_id);
    const id = handle.commandId;
    const request = {
      cursor: args.cursor === undefined ? null : decodeCursor(id, args.cursor),
      limit: args.limit,
      stream: args.stream,
      context: args.context,
      matches: args.grep === undefined ? null : linearPattern(args.grep, 'grep'),
      waitMs: boundWait(args.wait_ms),
    };
    const page = await handle.logs(request, signal);
    const structured = {
      command_id: id,
      lines: page.lines,
      next_cursor: encodeCursor(id, page.cursor),
      done: page.done,
      dropped_bytes: page.droppedBytes,
      unsearched_bytes: page.unsearchedBytes,
      ...(page.isReplaced && { note: `command_output: ${NOT_PLAIN}` }),
      next: nextOfLogs(page, args.grep !== undefined),
    };
    const state = [
      `done: ${page.done}`,
      `next_cursor: ${structured.next_cursor}`,
      `dropped_bytes: ${page.droppedBytes}`,
      ...(page.unsearchedBytes > 0 ? [`unsearched_bytes: ${page.unsearchedBytes} (binary data)`] : []),
    ].join(', ');
    const text = page.lines.map(
      ({ stream, data, partial }) => `${stream}${partial === true ? ' (unfinished)' : ''} | ${data}`,
    );
    const next = structured.next === null ? [] : [`next: ${structured.next}`];
    const note = structured.note === undefined ? [] : [`note: ${structured.note}`];
    const lines = text.length === 0 ? [] : [textBlock('lines', text.join('\n'))];
    return { structured, text: [state, ...next, ...note, ...lines].join('\n') };
  },
});

/** The next step after a page of logs; null once everything was read. */
function nextOfLogs(
  { done, atEnd, leftBehind }: Pick<Logs, 'done' | 'atEnd' | 'leftBehind'>,
  isSearch: boolean,
): string | null {
  if (done) return null;
  const again = 'command_logs with the same arguments and cursor=next_cursor';
  if (atEnd && leftBehind)
    return `It has finished; processes that it started still run: ${again} and wait_ms returns what they write next`;
  if (atEnd) return `Still running: ${again} and wait_ms returns what it writes next`;
  return isSearch
    ? `The rest was not searched yet: ${again} continues the search`
    : `There is more: ${again}`;
}

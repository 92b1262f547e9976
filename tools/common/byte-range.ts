import type { OutputStream } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';

/** Bytes read from the engine at a time. */
const SLICE_BYTES = 65_536;

/** Consecutive bytes; `start` is the offset of the first in the selected sequence. */
export interface Span {
  start: number;
  bytes: Buffer;
}

/** The end of a span: the offset of the byte after it. */
export function endOf(span: Span): number {
  return span.start + span.bytes.length;
}

/**
 * The captured bytes of `[start, end)`, in as many spans as there are gaps. Reads in slices, so that memory
 * is bounded by the range.
 */
export async function readRange(
  handle: Pick<CommandHandle, 'output'>,
  range: { stream: OutputStream | 'both'; start: number; end: number },
  signal: AbortSignal,
): Promise<Span[]> {
  const parts: Span[] = [];
  let offset = range.start;
  while (offset < range.end) {
    const limit = Math.min(SLICE_BYTES, range.end - offset);
    const slice = await handle.output({ stream: range.stream, offset, limit }, signal);
    for (const chunk of slice.chunks) {
      // The slice may have skipped past the range because of a gap.
      const room = range.end - chunk.offset;
      if (room > 0) parts.push({ start: chunk.offset, bytes: chunk.data.subarray(0, room) });
    }
    if (slice.nextOffset <= offset) break;
    offset = slice.nextOffset;
  }
  return joined(parts);
}

function joined(parts: readonly Span[]): Span[] {
  const groups: Span[][] = [];
  for (const part of parts) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group !== undefined && last !== undefined && endOf(last) === part.start) group.push(part);
    else groups.push([part]);
  }
  return groups.map((group) => ({
    start: group[0]?.start ?? 0,
    bytes: Buffer.concat(group.map((part) => part.bytes)),
  }));
}

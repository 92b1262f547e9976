/** How far a server may send ahead of what the program has read: far enough for one that is far away, and bounded. */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';

/** Bytes of a stream that may be on their way. With the default, one from 50 ms away brings a megabyte a second. */
export const WIDE_WINDOW = 1_048_576;
const DEFAULT_WINDOW = 65_535;
/** Bytes of all streams. Node gives them back as they come, whoever reads them: what may be held is up to the streams. */
const CONNECTION_WINDOW = 16_777_216;
/** With more streams at once, each has the default from then on: a stream that nobody reads holds its window. */
const WIDE_STREAMS = 8;

/**
 * Widens the windows of a session that was opened with `WIDE_WINDOW`.
 * @returns to be told of each stream
 */
export function widenWindows(session: ClientHttp2Session): (stream: ClientHttp2Stream) => void {
  let wide = true;
  let open = 0;
  session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW));
  return (stream) => {
    open++;
    stream.once('close', () => {
      open--;
    });
    if (!wide || open <= WIDE_STREAMS) return;
    wide = false;
    session.settings({ initialWindowSize: DEFAULT_WINDOW });
  };
}

/** How far a server may send ahead of what the program has read: far enough for one that is far away, and bounded. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type ServerHttp2Stream,
} from 'node:http2';

/** Bytes of a stream that may be on their way. With the default, one from 50 ms away brings a megabyte a second. */
export const WIDE_WINDOW = 1_048_576;
const DEFAULT_WINDOW = 65_535;
/** Bytes of all streams. Node gives them back as they come, whoever reads them: what may be held is up to the streams. */
const CONNECTION_WINDOW = 16_777_216;
/** With more streams at once, each has the default from then on: a stream that nobody reads holds its window. */
const WIDE_STREAMS = 8;
/** Within this a server has to acknowledge the default: until it has, it may send as far ahead as before. */
const ACKNOWLEDGE_MS = 30_000;

/**
 * Makes the request for a stream.
 * @param late why there is nobody to make it to
 * @returns null where there is none to make
 */
type Begin = (late: Error | null) => ClientHttp2Stream | null;

/**
 * Widens the windows of a session that was opened with `WIDE_WINDOW`. A server that does not acknowledge narrower ones
 * loses the session.
 * @returns to begin each stream by, where the windows allow it, or once they do
 */
export function widenWindows(session: ClientHttp2Session): (stream: ServerHttp2Stream, begin: Begin) => void {
  let windows: 'wide' | 'narrowing' | 'narrow' = 'wide';
  let open = 0;
  let late: Error | null = null;
  const waiting = new Map<ServerHttp2Stream, Begin>();
  session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW));

  const start = (begin: Begin) => {
    const request = begin(late);
    if (request === null) return;
    open++;
    request.once('close', () => {
      open--;
    });
  };
  const startAll = () => {
    windows = 'narrow';
    const begins = [...waiting];
    waiting.clear();
    for (const [stream, begin] of begins) if (!stream.closed && !stream.destroyed) start(begin);
  };
  const narrow = () => {
    windows = 'narrowing';
    const timer = setTimeout(() => {
      late = new Error(`The server did not acknowledge its SETTINGS within ${ACKNOWLEDGE_MS / 1000} seconds`);
      session.destroy(late, constants.NGHTTP2_SETTINGS_TIMEOUT);
      startAll();
    }, ACKNOWLEDGE_MS);
    const over = () => {
      clearTimeout(timer);
      startAll();
    };
    session.once('close', over);
    session.settings({ initialWindowSize: DEFAULT_WINDOW }, (error) => {
      if (error === null) over();
    });
  };
  return (stream, begin) => {
    if (windows === 'wide' && open >= WIDE_STREAMS && !session.closed && !session.destroyed) narrow();
    if (windows !== 'narrowing') {
      start(begin);
      return;
    }
    waiting.set(stream, begin);
    stream.once('close', () => waiting.delete(stream));
  };
}

/** Flow-control windows towards a server: wide enough for one with a high latency, and bounded. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type ServerHttp2Stream,
} from 'node:http2';

/**
 * Bytes of a stream that may be in flight. The default limits a server 50 ms away to about a megabyte a
 * second.
 */
export const WIDE_WINDOW = 1_048_576;
const DEFAULT_WINDOW = 65_535;
/**
 * Bytes of all streams. Node returns them as they arrive, whoever reads them: the stream windows bound what
 * is buffered.
 */
const CONNECTION_WINDOW = 16_777_216;
/**
 * With more concurrent streams, each gets the default window from then on: an unread stream fills its window.
 */
const WIDE_STREAMS = 8;
/** The time a server has to acknowledge the default: until it does, it may send as far ahead as before. */
const ACKNOWLEDGE_MS = 30_000;

/**
 * Opens the stream for a request.
 * @param late why there is no server to send it to
 * @returns null if there is no request to make
 */
type Begin = (late: Error | null) => ClientHttp2Stream | null;

/**
 * Widens the windows of a session that was opened with `WIDE_WINDOW`. The session to a server that does not
 * acknowledge narrower ones is closed.
 * @returns a function that opens each stream, once the windows allow it
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

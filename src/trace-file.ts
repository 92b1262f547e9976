/** Writes spans to a file in the trace event format of Chrome, which `chrome://tracing` and Perfetto show. */
import { randomBytes } from 'node:crypto';
import { closeSync, lstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { onSpan, type Span } from './shared/async/traced.ts';

/** About 20 MB; what comes later is left out. */
const MAX_EVENTS = 100_000;
const FLUSH_MS = 250;

/**
 * Writes until the process exits; what was not written after a quarter of a second is lost if it is killed.
 * The file is replaced and readable by this user only.
 *
 * @throws the system's error if the file cannot be written
 */
export function writeTraceFile(path: string): void {
  const file = replaceFile(path);
  let pending = '';
  let events = 0;
  let isScheduled = false;
  let isBroken = false;
  const flush = (end = ''): void => {
    isScheduled = false;
    const text = pending + end;
    pending = '';
    if (isBroken || text === '') return;
    try {
      writeSync(file, text);
    } catch {
      // A full disk must not end the server: the trace ends here.
      isBroken = true;
    }
  };
  const add = (event: object): void => {
    pending += `${events === 0 ? '[' : ','}\n${JSON.stringify(event)}`;
    events += 1;
    if (!isScheduled) setTimeout(flush, FLUSH_MS).unref();
    isScheduled = true;
  };
  add({ ph: 'M', name: 'process_name', pid: process.pid, tid: 0, args: { name: 'sandbox-mcp' } });
  const stop = onSpan((span) => {
    if (events < MAX_EVENTS) add(eventOf(span));
  });
  process.once('exit', () => {
    stop();
    // The format allows the end of the array to be missing, as after SIGKILL.
    flush('\n]\n');
    closeSync(file);
  });
}

/**
 * Opens a new file in place of whatever file has this path, which may belong to somebody else or be written by
 * another server.
 *
 * @throws if it is a directory, a link, a device or a pipe
 */
function replaceFile(path: string): number {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present !== undefined && !present.isFile()) throw new Error(`${path} is not a regular file`);
  const temporary = `${path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    renameSync(temporary, path);
    return file;
  } catch (error) {
    closeSync(file);
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** A complete event, in microseconds; each call has a line of its own. */
function eventOf({ layer, name, startMs, durationMs, call }: Span): object {
  const micro = (ms: number) => Math.round(ms * 1_000);
  return {
    ph: 'X',
    cat: layer,
    name,
    ts: micro(startMs),
    dur: micro(durationMs),
    pid: process.pid,
    tid: call,
  };
}

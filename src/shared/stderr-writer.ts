/** Writes log lines to standard error without ever blocking the server, failing it or keeping it alive. */
import { constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { systemErrorCode } from './errors.ts';

/** Lines waiting for a slow reader, in bytes; further lines are dropped rather than memory filled. */
const MAX_BACKLOG_BYTES = 1_048_576;
const RETRY_MS = 50;

export interface LineWriter {
  /** Takes a line with its line feed. Never throws. */
  write(line: string): void;
}

/**
 * A writer to a file descriptor, 2 by default. Each line is written at once. If the reader is slow, lines
 * wait, and they are dropped if the process exits first. After any other failure, such as a broken pipe, all
 * lines are dropped.
 *
 * Node's own streams and asynchronous file writes do not fit: a pending write keeps the event loop alive, and
 * one that blocks a thread of the pool makes `process.exit` wait for that thread.
 */
export function createStderrWriter(fd = 2): LineWriter {
  const target = openNonBlocking(fd);
  let backlog: Buffer[] = [];
  let backlogBytes = 0;
  let failed = target === null;
  let timer: NodeJS.Timeout | null = null;

  const drop = (): void => {
    backlog = [];
    backlogBytes = 0;
  };

  /** Writes as much as the reader accepts now. */
  const flush = (): void => {
    timer = null;
    process.off('exit', flush);
    while (target !== null && !failed) {
      const [first] = backlog;
      if (first === undefined) return;
      try {
        const written = writeSync(target.fd, first);
        backlogBytes -= written;
        if (written === first.length) backlog.shift();
        else backlog[0] = first.subarray(written);
      } catch (error) {
        if (systemErrorCode(error) !== 'EAGAIN') {
          failed = true;
          drop();
        } else {
          timer = setTimeout(flush, RETRY_MS).unref();
          // Only while lines wait: a process may hold any number of writers.
          process.once('exit', flush);
        }
        return;
      }
    }
  };

  return {
    write(line) {
      const bytes = Buffer.from(line);
      if (failed || backlogBytes + bytes.length > MAX_BACKLOG_BYTES) return;
      backlog.push(bytes);
      backlogBytes += bytes.length;
      if (timer === null) flush();
    },
  };
}

interface Target {
  readonly fd: number;
  /** Keeps the handle that made the descriptor non-blocking. */
  readonly socket?: Socket;
}

/** A descriptor whose writes answer EAGAIN instead of blocking; null if there is nothing to write to. */
function openNonBlocking(fd: number): Target | null {
  let stats: Stats;
  try {
    stats = fstatSync(fd);
  } catch {
    return null;
  }
  // Writes to a file do not wait for a reader. Opening it again would lose its position.
  if (stats.isFile()) return { fd };
  if (!stats.isSocket()) {
    // The flag belongs to the open file, which the parent may share. A second open file has its own flags.
    const again = reopen(fd);
    if (again !== null) return { fd: again };
    if (!stats.isFIFO()) return { fd };
  }
  try {
    const socket = new Socket({ fd, readable: false, writable: true });
    socket.on('error', () => {});
    socket.unref();
    return { fd, socket };
  } catch {
    return { fd };
  }
}

function reopen(fd: number): number | null {
  try {
    return openSync(
      `/proc/self/fd/${fd}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_APPEND,
    );
  } catch {
    return null;
  }
}

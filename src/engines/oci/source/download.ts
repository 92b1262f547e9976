/** Downloads a URL to a file inside the sandbox, with whichever program is installed. */
import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
import { formatCount } from '../../../shared/text/text.ts';
import { boundedWriter, noSpace } from './bounded-writer.ts';
import { DOWNLOADERS, type Downloader, downloaderArguments } from './downloaders.ts';
import { type GuestContext, missingProgram, type Outcome, runInGuest } from './guest-program.ts';
import { loopbackHint } from './loopback-hint.ts';
import { policyRefusal } from './policy-refusal.ts';

const POLL_MS = 500;

/** Prints the first of its arguments that is an installed program. */
const FIND = 'for name in "$@"; do command -v "$name" >/dev/null && echo "$name" && exit; done; exit 0';

/**
 * @throws the error for the HTTP status, `limit_exceeded` if it is too large, `unsupported` if no program can
 *   download
 */
export async function download(
  inside: GuestContext,
  url: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const downloader = await findDownloader(inside, signal);
  inside.report?.(`Fetching ${url}`);
  const { limits } = inside;
  const [cmd, ...args] = downloaderArguments(downloader, url, limits.stallMs);
  const program = boundedWriter(limits.maxDownloadBytes, path, cmd, ...args);
  const outcome = await watched(inside, path, signal, () => runInGuest(inside, program, signal));
  if (outcome.exitCode === 0) return;
  const size = (await inside.files.stat(inside.sandboxId, path, null, signal))?.sizeBytes ?? 0;
  if (size >= limits.maxDownloadBytes) {
    throw new SandboxError('limit_exceeded', `${url} is larger than ${limits.maxDownloadBytes} bytes.`, {
      hint: 'Use a smaller tarball, or upload the files with sandbox_upload_file.',
      details: { url, max_bytes: limits.maxDownloadBytes },
    });
  }
  const refusal = await inside.refusal();
  if (refusal !== null) throw policyRefusal(url, refusal);
  throw noSpace(url, outcome) ?? failure(url, outcome, limits.limitMs);
}

async function findDownloader(inside: GuestContext, signal: AbortSignal): Promise<Downloader> {
  const find = { cmd: '/bin/sh', args: ['-c', FIND, 'sh', ...DOWNLOADERS] };
  const { stdout } = await runInGuest(inside, find, signal);
  const found = DOWNLOADERS.find((name) => name === stdout.trim());
  if (found === undefined) throw missingProgram('curl', 'upload the files with sandbox_upload_file');
  return found;
}

/** Reports progress while `work` runs, if there is a reporter. */
async function watched<T>(
  inside: GuestContext,
  path: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const { report } = inside;
  if (report === null) return work();
  const over = new AbortController();
  const checkProgress = async (): Promise<void> => {
    for (;;) {
      await delay(POLL_MS, undefined, { signal: over.signal });
      const stat = await inside.files.stat(inside.sandboxId, path, null, signal);
      if (stat !== null && !over.signal.aborted) report(`Fetched ${formatCount(stat.sizeBytes)} bytes`);
    }
  };
  // Ignore errors of the progress poll: `work` reports its own.
  const looking = checkProgress().catch(() => undefined);
  try {
    return await work();
  } finally {
    over.abort();
    await looking;
  }
}

/** Translates an HTTP status for the caller who gave the URL. */
const STATUSES: Record<string, [code: ErrorCode, hint: string]> = {
  '401': [
    'auth',
    'A tarball source takes no credentials: use a URL that needs none, or a source of type git.',
  ],
  '403': ['permission', 'Use a URL that can be read without credentials.'],
  '404': ['not_found', 'Correct source.url.'],
  '410': ['not_found', 'Correct source.url.'],
  '429': ['rate_limit', 'Wait, then call sandbox_create again.'],
};

function failure(url: string, outcome: Outcome, limitMs: number): SandboxError {
  const details = { url, exit_code: outcome.exitCode };
  if (outcome.endedBy === 'timeout') {
    return new SandboxError('timeout', `Fetching ${url} took longer than ${limitMs} ms.`, {
      hint: 'Use a smaller tarball or a faster server.',
      details,
    });
  }
  const status = /(?:error:? |HTTP )(\d{3})\b/i.exec(outcome.stderrLines)?.[1];
  if (status !== undefined) {
    const [code, hint] = STATUSES[status] ?? [
      'unavailable',
      'Check source.url, or call sandbox_create again later.',
    ];
    const answered = `Cannot fetch ${url}: the server answered ${status}.`;
    return new SandboxError(code, answered, { hint, details: { ...details, status: Number(status) } });
  }
  if (/too slow|timed? ?out/i.test(outcome.stderrLines)) {
    return new SandboxError('timeout', `${url} stopped sending data.`, {
      hint: 'Call sandbox_create again later.',
      details,
    });
  }
  const said = outcome.stderrLines === '' ? `exit code ${outcome.exitCode}` : outcome.stderrLines;
  return new SandboxError('unavailable', `${url} could not be fetched: ${said}`, {
    hint:
      loopbackHint(said) ??
      'Correct source.url (http or https), or create an empty sandbox and fetch it there to investigate.',
    details,
  });
}

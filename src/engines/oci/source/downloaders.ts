/**
 * Command lines of programs that can download a URL to their standard output, over http and https only. Pure.
 */

/** In order of preference. */
export const DOWNLOADERS = ['curl', 'wget', 'node', 'python3'] as const;
export type Downloader = (typeof DOWNLOADERS)[number];

const REDIRECTS = 10;

/** Prints `HTTP <status>` for an unsuccessful answer. */
const NODE = `const [url, stall] = process.argv.slice(1);
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const quiet = new AbortController();
let timer;
const heard = () => { clearTimeout(timer); timer = setTimeout(() => quiet.abort(new Error('timed out')), Number(stall)); };
(async () => {
  heard();
  const answer = await fetch(url, { signal: quiet.signal });
  if (!answer.ok) throw new Error('HTTP ' + answer.status);
  const body = Readable.fromWeb(answer.body);
  body.on('data', heard);
  await pipeline(body, process.stdout);
  clearTimeout(timer);
})().catch((error) => { process.stderr.write(String(error.cause ?? error), () => process.exit(1)); });`;

const PYTHON = `import sys, shutil, urllib.request, urllib.error
url, stall = sys.argv[1:]
class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.startswith(('http://', 'https://')): raise urllib.error.URLError('redirected to ' + newurl[:200])
        return super().redirect_request(req, fp, code, msg, headers, newurl)
try:
    with urllib.request.build_opener(Redirects).open(url, timeout=float(stall) / 1000) as answer:
        shutil.copyfileobj(answer, sys.stdout.buffer, 65536)
except urllib.error.HTTPError as error: sys.exit('HTTP %d' % error.code)
except Exception as error: sys.exit(str(error))`;

/** Program and arguments. A transfer without data for `stallMs` milliseconds is aborted. */
export function downloaderArguments(
  downloader: Downloader,
  url: string,
  stallMs: number,
): [cmd: string, ...args: string[]] {
  const seconds = String(Math.max(1, Math.ceil(stallMs / 1_000)));
  switch (downloader) {
    case 'curl':
      return [
        'curl',
        // Must come first: do not read the user's configuration.
        '-q',
        '--fail',
        '--silent',
        '--show-error',
        '--globoff',
        '--location',
        '--max-redirs',
        String(REDIRECTS),
        '--proto',
        '=http,https',
        '--proto-redir',
        '=http,https',
        '--speed-limit',
        '1',
        '--speed-time',
        seconds,
        '--connect-timeout',
        seconds,
        '--url',
        url,
      ];
    case 'wget':
      return [
        'wget',
        '--no-config',
        // With a quieter option it prints no errors.
        '--progress=dot:giga',
        `--max-redirect=${REDIRECTS}`,
        `--timeout=${seconds}`,
        '--tries=1',
        // It would follow a redirect to ftp: a nonexistent proxy prevents that.
        '--execute=use_proxy=on',
        '--execute=ftp_proxy=http://127.0.0.1:1/',
        '--output-document=-',
        '--',
        url,
      ];
    case 'node':
      return ['node', '-e', NODE, '--', url, String(stallMs)];
    case 'python3':
      return ['python3', '-c', PYTHON, url, String(stallMs)];
  }
}

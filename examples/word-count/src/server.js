/** Serves the report of a text, and its figures as JSON. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { report } from './report.js';
import { countWords, summary, topWords } from './words.js';

/**
 * A server that does not listen yet.
 *
 * @param {string} title
 * @param {string} text what is counted
 * @returns {import('node:http').Server}
 */
export function createReportServer(title, text) {
  const pages = new Map([
    ['/', { type: 'text/html; charset=utf-8', body: report(title, text) }],
    [
      '/words.json',
      {
        type: 'application/json',
        body: JSON.stringify({ ...summary(text), top: topWords(countWords(text), 100) }),
      },
    ],
  ]);
  return createServer((request, response) => {
    const page = pages.get((request.url ?? '/').split('?')[0]);
    if (page === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    response.writeHead(200, { 'content-type': page.type }).end(page.body);
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const port = Number(process.env.PORT ?? 8080);
  const text = await readFile(new URL('../texts/ferry.txt', import.meta.url), 'utf8');
  createReportServer('The ferry', text).listen(port, '127.0.0.1', () => {
    process.stdout.write(`word-count listens on port ${port}\n`);
  });
}

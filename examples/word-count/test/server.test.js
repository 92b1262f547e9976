import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { createReportServer } from '../src/server.js';

describe('the server', () => {
  const server = createReportServer('Bells', 'bell bell ferry.');
  let origin = '';

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    origin = `http://127.0.0.1:${server.address().port}`;
  });

  after(() => {
    server.closeAllConnections();
    server.close();
  });

  it('serves the report', async () => {
    const response = await fetch(origin);
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.match(await response.text(), /Bells: 3 words/);
  });

  it('serves the figures as JSON', async () => {
    const figures = await (await fetch(`${origin}/words.json?x=1`)).json();
    assert.deepEqual(figures.top, [
      ['bell', 2],
      ['ferry', 1],
    ]);
  });

  it('answers 404 for anything else', async () => {
    assert.equal((await fetch(`${origin}/etc/passwd`)).status, 404);
  });

  it('takes no other method', async () => {
    assert.equal((await fetch(origin, { method: 'POST' })).status, 405);
  });
});

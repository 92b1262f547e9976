/**
 * The end of HTTP/2 connections with header rules: complete responses stay complete, truncated ones are seen
 * as such.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.ts';
import { BURST } from '../support/frame-server.ts';
import { openRuledSandbox, type RuledSandbox, say } from '../support/ruled-sandbox.ts';
import { openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
/** More than the program buffers, and less than the server may send ahead. */
const WHOLE = 700_000;

describe('the end of HTTP/2 connections', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let box: RuledSandbox;

  beforeAll(async () => {
    world = await openRuledWorld();
    box = await openRuledSandbox(world, {
      mode: 'custom',
      rules: ['api.test', '*.api.test'].map((domain) => ({
        domain,
        headers: { Authorization: say('TOKEN') },
      })),
    });
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  /** What a program receives that starts to read at an event, and how the connection ends. */
  const read = (path: string, from: string) =>
    box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
s.on('error', () => {});
const r = s.request({ ':path': '${path}' });
let size = 0;
${from}, () => r.on('data', (d) => { size += d.length; }));
r.on('end', () => console.log('whole', size)).on('error', (e) => console.log(e.code));
s.on('close', () => console.log('over'));`,
    );

  it('lets a complete response be read after the server has disconnected', async () => {
    expect(await read(`/last/${WHOLE}`, "s.on('goaway'")).toBe(`whole ${WHOLE}\nover\n`);
    const printed = await box.run(
      `curl -sS --http2 --limit-rate 1M https://api.test/last/${WHOLE} | wc -c; echo "exit \${PIPESTATUS[0]}"`,
    );
    expect(printed).toBe(`${WHOLE}\nexit 0\n`);
  });

  it('keeps a response complete that arrives together with the end', async () => {
    const printed = await box.run(
      'for i in 1 2 3; do curl -sS --http2 -o /dev/null -w "%{size_download} %{exitcode}\\n" https://burst.api.test/; done',
    );
    expect(printed).toBe(`${BURST} 0\n`.repeat(3));
  });

  it('truncates a response that the server has truncated', async () => {
    expect(await read('/half', "r.on('response'")).toBe('ERR_HTTP2_STREAM_ERROR\nover\n');
    const printed = await box.run('curl -sS --http2 https://api.test/half; echo "exit $?"');
    expect(printed).toMatch(/exit (18|92)\n/);
  });
});

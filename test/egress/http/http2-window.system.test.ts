/** A server may send far ahead on a few HTTP/2 streams, but not on many, whatever it acknowledges. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.ts';
import { openRuledSandbox, type RuledSandbox, say } from '../support/ruled-sandbox.ts';
import { openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;

describe('HTTP/2 windows', needs('root, for a route to test addresses', isRoot), () => {
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

  it('withhold many streams from a server that does not acknowledge small ones, then end the connection', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://mute.api.test');
s.on('error', () => {}).on('close', () => console.log('over'));
for (let i = 0; i < 12; i++) {
  let text = '';
  s.request().on('data', (d) => { text += d; }).on('end', () => console.log(text.trim())).on('error', (e) => console.log(e.code));
}
const reset = s.request().on('error', () => console.log('reset'));
s.ping(() => reset.close(2));`,
    );
    const lines = printed.trim().split('\n');
    expect(lines.filter((line) => line === 'ERR_HTTP2_STREAM_ERROR')).toHaveLength(8);
    expect(lines.filter((line) => line.includes('did not acknowledge its SETTINGS'))).toHaveLength(4);
    expect(lines[0]).toBe('reset');
    expect(lines.at(-1)).toBe('over');
    expect(world.seen.filter(({ host }) => host === 'mute.api.test')).toHaveLength(8);
  });

  it('delay streams completely, with bodies and trailers', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
s.request({ ':path': '/first' }).on('close', () => {
  for (let i = 0; i < 8; i++) s.request({ ':path': '/hang-held' }).on('error', () => {});
  const asked = [1, 2, 3].map((i) => new Promise((done) => {
    const r = s.request({ ':method': 'POST', ':path': '/held' + i }, { waitForTrailers: true });
    let text = '';
    r.on('wantTrailers', () => r.sendTrailers({ 'x-sum': 'sum' + i }));
    r.on('trailers', (t) => { text += t['x-sum']; }).on('data', (d) => { text += d; }).on('end', () => done(text));
    r.end('body');
  }));
  Promise.all(asked).then((all) => { console.log(all.join('').replaceAll('\\n', ' ')); s.destroy(); });
}).resume().end();`,
    );
    expect(printed.match(/size 4/g)).toHaveLength(3);
    for (const sum of ['sum1', 'sum2', 'sum3']) expect(printed).toContain(sum);
  });
});

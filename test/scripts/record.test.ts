import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventsOf, formatCast, parseCast, type Recording } from '../../scripts/record/asciicast.ts';
import { renderSvg } from '../../scripts/record/svg.ts';

const DOCS = join(import.meta.dirname, '../../docs');

function recording(events: Recording['events']): Recording {
  return { width: 20, height: 4, title: 'a <test>', idleLimit: 1, events };
}

describe('eventsOf', () => {
  it('splits the output by the timing, and never within a character', () => {
    const output = Buffer.from('Script started\nab€c\nScript done\n');
    expect(eventsOf('0.5 3\n0.25 3\n', output)).toEqual([
      { time: 0.5, data: 'ab' },
      { time: 0.75, data: '€c' },
    ]);
  });

  it('rejects an invalid timing', () => {
    expect(() => eventsOf('nonsense', Buffer.from('\n'))).toThrow('not a line of timing: "nonsense"');
  });
});

describe('a cast', () => {
  it('survives writing and reading', () => {
    const written = recording([{ time: 0.5, data: '\u001b[1mhi\r\n' }]);
    expect(parseCast(formatCast(written))).toEqual(written);
  });
});

describe('renderSvg', () => {
  it('shows lines at their time, with long pauses shortened', async () => {
    const svg = await renderSvg(
      recording([
        { time: 5, data: 'one\r\n' },
        { time: 5.5, data: '\u001b[36m<two>\u001b[0m\r\n' },
        { time: 60, data: 'three' },
      ]),
    );
    expect(svg).toContain('<title>a &lt;test&gt;</title>');
    expect(svg).toMatch(/<text x="14" y="27" xml:space="preserve">one<\/text>/);
    expect(svg).toMatch(
      /y="45" style="animation:show 1ms 0\.50s both"[^>]*><tspan fill="#39c5cf">&lt;two&gt;</,
    );
    expect(svg).toMatch(/y="63" style="animation:show 1ms 1\.50s both"[^>]*>three</);
  });

  it('hides what was replaced, even without animation', async () => {
    const svg = await renderSvg(
      recording([
        { time: 0, data: 'working' },
        { time: 1, data: '\r\u001b[Kdone' },
      ]),
    );
    expect(svg).toMatch(/visibility="hidden" style="animation:hide 1ms 1\.00s forwards"[^>]*>working</);
    expect(svg).toMatch(/<text x="14" y="27" style="animation:show 1ms 1\.00s both"[^>]*>done</);
  });
});

describe('the picture of the README', () => {
  const cast = readFileSync(join(DOCS, 'first-session.cast'), 'utf8');

  it('is rendered from its recording', async () => {
    expect(readFileSync(join(DOCS, 'first-session.svg'), 'utf8')).toBe(await renderSvg(parseCast(cast)));
  });

  it('shows the whole session, and no path of the recording machine', () => {
    expect(cast).toContain('sandbox_stop');
    expect(cast).not.toMatch(/\/(home|root|tmp|Users)\b/);
  });
});

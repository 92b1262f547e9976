import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { escapeHtml, report } from '../src/report.js';

describe('report', () => {
  it('tells the figures and the words', () => {
    const page = report('Bells', 'bell bell ferry.');
    assert.match(page, /<title>Bells: 3 words<\/title>/);
    assert.match(page, /<td>bell<\/td><td>2<\/td>/);
  });

  it('lets no title become markup', () => {
    const page = report('<script>alert(1)</script>', 'x');
    assert.ok(!page.includes('<script>'));
  });

  it('takes an empty text', () => {
    assert.match(report('Nothing', ''), /0 words/);
  });
});

describe('escapeHtml', () => {
  it('escapes what has a meaning in HTML', () => {
    assert.equal(escapeHtml(`<a href="x">'&'</a>`), '&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;');
  });
});

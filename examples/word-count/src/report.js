/** A text's figures as a page. */
import { countWords, summary, topWords } from './words.js';

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * Text that is safe between tags and in attributes.
 *
 * @param {string} text
 * @returns {string}
 */
export function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

/**
 * A complete HTML page.
 *
 * @param {string} title
 * @param {string} text what is counted
 * @param {number} limit at most so many words in the table
 * @returns {string}
 */
export function report(title, text, limit = 12) {
  const figures = summary(text);
  const top = topWords(countWords(text), limit);
  const most = top[0]?.[1] ?? 1;
  const rows = top.map(
    ([word, count]) =>
      `<tr><td>${escapeHtml(word)}</td><td>${count}</td>` +
      `<td><meter value="${count}" max="${most}">${count}</meter></td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escapeHtml(title)}: ${figures.words} words</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
  td { padding: 0.1rem 1rem 0.1rem 0; }
  td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
</style>
<h1>${escapeHtml(title)}</h1>
<p>${figures.words} words, ${figures.different} different ones, ${figures.sentences} sentences; the longest word is
${escapeHtml(figures.longest ?? '–')}.</p>
<table>
${rows.join('\n')}
</table>
</html>
`;
}

/** `1,234`, independent of the locale. */
export function formatCount(count: number): string {
  return count.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 line`, `2 lines`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * Removes trailing slashes. A regular expression such as `/\/+$/` takes quadratic time on slashes elsewhere.
 */
export function trimTrailingSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}

/**
 * A field whose text comes out of a sandbox, as `name (14 bytes):` and the text below it. The count says
 * where the text ends, whatever lines that look like others' it has.
 *
 * @param written bytes that the text shows, or a part of them. The text can be shorter, without terminal escapes,
 *   or longer, with notes and replaced bytes; `truncated` says whether anything is left out
 */
export function textBlock(name: string, text: string, written: number | null = null): string {
  const bytes = Buffer.byteLength(text);
  const source = written === null || written === bytes ? '' : `, from ${formatCount(written)} written`;
  const head = `${name} (${formatCount(bytes)} bytes${source}):`;
  return text === '' ? head : `${head}\n${text.replace(/\n$/, '')}`;
}

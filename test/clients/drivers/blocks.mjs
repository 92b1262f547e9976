/** What a model is shown of content blocks: the text of all, and the number of pictures. */
export function shownOf(blocks) {
  const texts = blocks.filter(({ type }) => type === 'text').map(({ text }) => text);
  return { text: texts.join('\n'), images: blocks.filter(({ type }) => type === 'image').length };
}

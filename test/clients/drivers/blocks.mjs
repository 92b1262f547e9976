/** What a model sees of content blocks: their combined text, and the number of images. */
export function shownOf(blocks) {
  const texts = blocks.filter(({ type }) => type === 'text').map(({ text }) => text);
  return { text: texts.join('\n'), images: blocks.filter(({ type }) => type === 'image').length };
}

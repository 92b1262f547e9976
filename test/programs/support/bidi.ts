/** A client of WebDriver BiDi (a W3C standard), by which Firefox is driven without further software. */
import { once } from 'node:events';
import WebSocket from 'ws';
import { z } from 'zod';

const reply = z.object({
  id: z.number().nullish(),
  type: z.string(),
  result: z.record(z.string(), z.unknown()).optional(),
  message: z.string().optional(),
});
const tree = z.object({ contexts: z.array(z.object({ context: z.string() })).min(1) });
const text = z.object({ result: z.object({ value: z.string() }) });
const picture = z.object({ data: z.string() });

/**
 * Opens a page, and returns its text and a PNG picture of it. Rejects with the browser's reason.
 * @param browser the URL of its debugging port
 * @param port the number of that port inside the sandbox
 */
export async function openPage(
  browser: string,
  port: number,
  page: string,
): Promise<{ text: string; png: Buffer }> {
  // The browser refuses the name of another port than its own, such as the one that leads into the sandbox.
  const headers = { host: `127.0.0.1:${port}` };
  const socket = new WebSocket(`${browser.replace(/^http/, 'ws')}/session`, { headers });
  await once(socket, 'open');
  let last = 0;
  const ask = (method: string, params: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++last;
      const take = (data: WebSocket.RawData) => {
        const answer = reply.parse(JSON.parse(String(data)));
        if (answer.id !== id) return;
        socket.off('message', take);
        if (answer.type === 'success') resolve(answer.result);
        else reject(new Error(`${method}: ${answer.message}`));
      };
      socket.on('message', take);
      socket.once('close', () => reject(new Error(`${method}: the browser closed the connection`)));
      socket.send(JSON.stringify({ id, method, params }));
    });
  try {
    await ask('session.new', { capabilities: {} });
    const [first] = tree.parse(await ask('browsingContext.getTree', {})).contexts;
    const context = first?.context;
    await ask('browsingContext.navigate', { context, url: page, wait: 'complete' });
    const expression = 'document.documentElement.textContent';
    const target = { context };
    const shown = text.parse(await ask('script.evaluate', { expression, target, awaitPromise: false }));
    const taken = picture.parse(await ask('browsingContext.captureScreenshot', { context }));
    await ask('session.end', {});
    return { text: shown.result.value, png: Buffer.from(taken.data, 'base64') };
  } finally {
    socket.close();
  }
}

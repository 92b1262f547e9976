/**
 * A program with one client library: obeys its parent over IPC, and reports what a model would see. It runs
 * in the folder where the library is installed, with the Node version that it needs.
 */
import { argv, exit } from 'node:process';

const [driver, target] = argv.slice(2);
const { connect } = await import(driver);

/**
 * @type {{ call(name: string, given: object): Promise<{ text: string, images: number }>, close():
 *   Promise<void> } | null}
 */
let server = null;

const actions = {
  async connect() {
    server = await connect(JSON.parse(target));
    return null;
  },
  async call({ name, given }) {
    try {
      return { ...(await server.call(name, given)), thrown: false };
    } catch (error) {
      // Agents built on such a library show the model the message.
      return { text: String(error.message), images: 0, thrown: true };
    }
  },
  async close() {
    await server.close();
    return null;
  },
};

process.on('message', async ({ id, action, given }) => {
  if (action === 'exit') exit(0);
  try {
    process.send({ id, result: await actions[action](given) });
  } catch (error) {
    process.send({ id, error: String(error.stack) });
  }
});

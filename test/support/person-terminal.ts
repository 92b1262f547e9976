/** The client side of a terminal over a WebSocket. */
import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';

export class PersonTerminal {
  readonly socket: WebSocket;
  text = '';
  readonly closed: Promise<{ code: number; reason: string }>;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    socket.on('message', (data) => {
      this.text += String(data);
    });
  }

  /** Resolves once it is open; rejects with the status of a refusal in its message. */
  static async open(
    url: string,
    protocols: string[] = [],
    options: ClientOptions = {},
  ): Promise<PersonTerminal> {
    const terminal = new PersonTerminal(new WebSocket(url, protocols, options));
    await once(terminal.socket, 'open');
    return terminal;
  }

  /** Resolves when `part` has been received since the start. */
  async until(part: string): Promise<string> {
    while (!this.text.includes(part)) {
      const ended = await Promise.race([
        once(this.socket, 'message').then(() => false),
        this.closed.then(() => true),
      ]);
      if (ended && !this.text.includes(part)) throw new Error(`closed without ${part}: ${this.text}`);
    }
    return this.text;
  }
}

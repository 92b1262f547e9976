import type { Readable, Writable } from 'node:stream';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { Logger } from '../../shared/log.ts';
import { type ErrorReply, parseMessage, tooLongReply } from '../parse-message.ts';
import { messageLines } from './message-lines.ts';

const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
/** Answers waiting for a client that does not read; meanwhile nothing more is read from it. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/**
 * Newline-delimited JSON-RPC over two streams. The SDK's own transport closes the connection at a long line
 * and leaves a malformed one unanswered; this one rejects both with an error and continues.
 */
export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  /** Until it is set and the transport is started, messages wait. */
  onmessage?: (message: JSONRPCMessage) => void;
  /** The error reply for a message that the revision's own library would answer badly. */
  rejects?: (message: JSONRPCMessage) => ErrorReply | null;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #log: Logger;
  readonly #onData: (chunk: Buffer) => void;
  #listening = false;
  #closed = false;
  /** Messages that came before a revision of the protocol was chosen. */
  #waiting: JSONRPCMessage[] = [];
  #onWaiting: () => void = () => {};
  /** Requests that were answered before they were replayed, and what to call in place of their replies. */
  readonly #answered = new Map<unknown, () => void>();

  constructor(input: Readable, output: Writable, log: Logger) {
    this.#input = input;
    this.#output = output;
    this.#log = log;
    this.#onData = messageLines(MAX_MESSAGE_BYTES, {
      line: (text) => this.#receive(text),
      tooLong: (limitBytes) => this.#refuse(tooLongReply(limitBytes)),
    });
  }

  async start(): Promise<void> {
    this.#listen();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const message of waiting) this.#deliver(message);
  }

  /** The first message, which is still delivered later. Resolves when there is one. */
  async first(): Promise<JSONRPCMessage> {
    this.#listen();
    for (;;) {
      const [message] = this.#waiting;
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => {
        this.#onWaiting = resolve;
      });
    }
  }

  /** Sends a line, as JSON without its end, in answer to the first message, which is not delivered then. */
  async answerFirst(line: string): Promise<void> {
    this.#waiting.shift();
    await this.#writeLine(line);
  }

  /**
   * Resolves when the stream has accepted the message. After the connection has ended, messages are dropped.
   */
  async send(message: JSONRPCMessage): Promise<void> {
    if ('id' in message && !('method' in message)) {
      const dropped = this.#answered.get(message.id);
      this.#answered.delete(message.id);
      if (dropped !== undefined) {
        dropped();
        return;
      }
    }
    await this.#write(message);
  }

  /**
   * Delivers a message that the front has answered. Resolves when its own reply, which is dropped, is there.
   */
  async replay(line: string): Promise<void> {
    const parsed = parseMessage(line);
    if (!('message' in parsed)) return;
    const { message } = parsed;
    const replied =
      'id' in message ? new Promise<void>((resolve) => this.#answered.set(message.id, resolve)) : null;
    this.#deliver(message);
    await replied;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#input.off('data', this.#onData);
    this.#input.pause();
    this.onclose?.();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#input.on('data', this.#onData);
  }

  #receive(line: string): void {
    const parsed = parseMessage(line);
    if ('errorReply' in parsed) this.#refuse(parsed.errorReply);
    else if ('ignored' in parsed) this.#log.warn(`ignored ${parsed.ignored}`);
    else this.#deliver(parsed.message);
  }

  /** If the protocol layer throws on a message, only that message is lost, not the connection. */
  #deliver(message: JSONRPCMessage): void {
    if (this.onmessage === undefined) {
      this.#waiting.push(message);
      this.#onWaiting();
      return;
    }
    try {
      const rejection = this.rejects?.(message) ?? null;
      if (rejection === null) this.onmessage(message);
      else this.#refuse(rejection);
    } catch (error) {
      this.#log.error({ err: error }, 'message not handled');
    }
  }

  #refuse(reply: ErrorReply): void {
    this.#log.warn({ code: reply.error.code }, reply.error.message);
    this.#write(reply).catch((error: unknown) => this.#log.warn({ err: error }, 'error reply not sent'));
  }

  #write(message: JSONRPCMessage | ErrorReply): Promise<void> {
    return this.#writeLine(JSON.stringify(message));
  }

  #writeLine(line: string): Promise<void> {
    if (this.#closed || !this.#output.writable) return Promise.resolve();
    return new Promise((resolve) => {
      // A client that does not read is noticed when it closes its end, and by signals, also while input is
      // paused. A failed write raises the stream's error event, which ends the session; the sender need not
      // handle it.
      this.#output.write(`${line}\n`, () => resolve());
      if (this.#output.writableLength > MAX_UNREAD_BYTES) this.#waitForReader();
    });
  }

  #waitForReader(): void {
    if (this.#input.isPaused()) return;
    this.#log.warn('the client does not read its answers; waiting');
    this.#input.pause();
    this.#output.once('drain', () => {
      if (!this.#closed) this.#input.resume();
    });
  }
}

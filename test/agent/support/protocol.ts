/** The agent's protocol from the client's side, as small as the tests need it. */
import { connect, type Socket } from 'node:net';

export const request = {
  ping: 1,
  deadline: 2,
  run: 3,
  stat: 4,
  mkdir: 5,
  read: 6,
  write: 7,
  treeRead: 8,
  treeWrite: 9,
  connect: 10,
  shutdown: 11,
  shell: 12,
  attach: 20,
  kill: 21,
  resize: 22,
} as const;

export const answer = {
  ok: 64,
  error: 65,
  started: 66,
  output: 67,
  exit: 68,
  stat: 69,
  entry: 70,
  data: 71,
  end: 72,
} as const;

export type Field = readonly [tag: number, value: bigint | number | string | Buffer];

export function fields(...list: Field[]): Buffer {
  return Buffer.concat(
    list.map(([tag, value]) => {
      const bytes =
        typeof value === 'bigint' || typeof value === 'number' ? number(value) : Buffer.from(value);
      const header = Buffer.alloc(5);
      header.writeUInt8(tag, 0);
      header.writeUInt32LE(bytes.length, 1);
      return Buffer.concat([header, bytes]);
    }),
  );
}

function number(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function frame(type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32LE(body.length, 0);
  header.writeUInt8(type, 4);
  return Buffer.concat([header, body]);
}

export class Frame {
  constructor(
    readonly type: number,
    readonly body: Buffer,
  ) {}

  bytes(tag: number): Buffer | null {
    for (let at = 0; at < this.body.length; ) {
      const size = this.body.readUInt32LE(at + 1);
      if (this.body[at] === tag) return this.body.subarray(at + 5, at + 5 + size);
      at += 5 + size;
    }
    return null;
  }

  number(tag: number): number {
    const bytes = this.bytes(tag);
    if (bytes === null) throw new Error(`frame ${this.type} has no field ${tag}`);
    return Number(bytes.readBigUInt64LE());
  }

  text(tag: number): string {
    return this.bytes(tag)?.toString() ?? '';
  }
}

/** A connection whose frames are taken one by one; `raw` turns it into plain bytes. */
export class Connection {
  readonly #socket: Socket;
  #buffered: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => {
      this.#buffered = this.#buffered.length === 0 ? data : Buffer.concat([this.#buffered, data]);
      this.#wake();
    });
    socket.on('error', () => {});
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  static async open(path: string): Promise<Connection> {
    const socket = connect({ path, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Connection(socket);
  }

  /** Resolves when the bytes are sent, so that a long upload is not buffered here. */
  async send(data: Buffer): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(data)) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('drain', resolve);
      this.#socket.once('close', () => resolve());
    });
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    return true;
  }

  /** The next frame, null at the end of the connection. */
  async next(): Promise<Frame | null> {
    for (;;) {
      if (this.#buffered.length >= 5) {
        const size = this.#buffered.readUInt32LE(0);
        if (this.#buffered.length >= 5 + size) {
          const result = new Frame(this.#buffered.readUInt8(4), this.#buffered.subarray(5, 5 + size));
          this.#buffered = this.#buffered.subarray(5 + size);
          return result;
        }
      }
      const had = this.#buffered.length;
      if (!(await this.#more()) && this.#buffered.length === had) return null;
    }
  }

  /** The next frame of that type; frames of the types in `skip` are skipped, any other is an error. */
  async expect(type: number, skip: number[] = []): Promise<Frame> {
    for (;;) {
      const got = await this.next();
      if (got === null) throw new Error(`the connection ended before frame ${type}`);
      if (got.type === type) return got;
      if (!skip.includes(got.type)) {
        throw new Error(
          `frame ${got.type} (errno ${errno(got)} ${got.text(51)} ${got.text(52)}) instead of ${type}`,
        );
      }
    }
  }

  /** Everything to the end of the connection, as plain bytes. */
  async rest(): Promise<Buffer> {
    while (await this.#more());
    return this.#buffered;
  }

  /** At least `size` plain bytes. */
  async raw(size: number): Promise<Buffer> {
    while (this.#buffered.length < size && (await this.#more()));
    const result = this.#buffered.subarray(0, size);
    this.#buffered = this.#buffered.subarray(size);
    return result;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  halfClose(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function errno(got: Frame): number | null {
  return got.type === answer.error ? got.number(50) : null;
}

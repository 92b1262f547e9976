import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runVerb } from '../support/run-verb.ts';
import { type RunningServer, SERVER, startServer } from '../support/server.ts';

const PYTHON = '/usr/bin/python3';
const IN_TERMINAL = join(import.meta.dirname, 'fixtures/in-terminal.py');

let server: RunningServer;
let sandboxId: string;
beforeAll(async () => {
  server = await startServer();
  sandboxId = String((await server.call('sandbox_create')).structured['sandbox_id']);
});
afterAll(() => server.close());

/** A user at a terminal. */
class Person {
  readonly #child: ChildProcess;
  #shown = '';
  #seen = 0;
  #listeners: (() => void)[] = [];
  readonly ended: Promise<unknown>;

  /** `window` is its size in columns and rows. */
  constructor(words: string[], window = '80x24') {
    const args = [IN_TERMINAL, process.execPath, SERVER, ...words, '--state-dir', server.stateDir];
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], TERM: 'xterm', WINDOW: window };
    this.#child = spawn(PYTHON, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.ended = once(this.#child, 'close').then(([code]) => code);
    this.#child.stdout?.on('data', (data: Buffer) => {
      this.#shown += data.toString();
      for (const listener of this.#listeners.splice(0)) listener();
    });
  }

  get shown(): string {
    return this.#shown;
  }

  do(action: { type: string } | { size: [number, number] }): void {
    this.#child.stdin?.write(`${JSON.stringify(action)}\n`);
  }

  /** Waits for text after the last match. */
  async sees(text: string): Promise<void> {
    while (this.#shown.indexOf(text, this.#seen) === -1) {
      const more = new Promise<string>((resolve) => this.#listeners.push(() => resolve('')));
      const over = await Promise.race([more, this.ended.then((code) => `ended with ${code}`)]);
      if (over !== '') throw new Error(`${over} without ${JSON.stringify(text)}: ${this.#shown}`);
    }
    this.#seen = this.#shown.indexOf(text, this.#seen) + text.length;
  }
}

describe('attach', () => {
  it('opens a raw shell of the window size in the sandbox of a server, and exits with its exit code', async (context) => {
    if (!existsSync(PYTHON)) return context.skip('this host has no python3 to make a terminal with');
    await server.call('sandbox_write_files', { files: [{ path: 'note', content: 'from the agent' }] });
    const person = new Person(['attach', sandboxId]);
    await person.sees('$ ');
    person.do({ type: 'cat note; echo; stty size\r' });
    await person.sees('from the agent\r\n24 80');
    await person.sees('$ ');
    person.do({ size: [100, 30] });
    person.do({ type: 'until [ "$(stty size)" = "30 100" ]; do :; done; echo resized-$((1 + 1))\r' });
    await person.sees('resized-2');
    await person.sees('$ ');
    // Keys act in the sandbox only: this interrupts its program, not the subcommand here. Wait until the
    // program has the terminal: an interrupt while the shell is still starting it is lost.
    person.do({ type: `sh -c 'echo wait-$((1 + 1)); exec sleep 1000'\r` });
    await person.sees('wait-2');
    person.do({ type: '\u0003' });
    await person.sees('^C');
    // Text typed before the prompt is back is discarded with the interrupted line.
    await person.sees('$ ');
    person.do({ type: 'echo code-$?\r' });
    await person.sees('code-130');
    await person.sees('$ ');
    person.do({ type: 'exit 42\r' });
    expect(await person.ended).toBe(42);
    expect((await server.call('sandbox_get')).structured['status']).toBe('running');
  });

  it('works in a terminal of unknown size', async (context) => {
    if (!existsSync(PYTHON)) return context.skip('this host has no python3 to make a terminal with');
    const person = new Person(['attach', sandboxId], '0x0');
    await person.sees('$ ');
    person.do({ type: 'stty size; exit\r' });
    await person.sees('24 80');
    expect(await person.ended).toBe(0);
  });

  it('ends with the sandbox and restores the terminal', async (context) => {
    if (!existsSync(PYTHON)) return context.skip('this host has no python3 to make a terminal with');
    const { structured } = await server.call('sandbox_create');
    const person = new Person(['attach', String(structured['sandbox_id'])]);
    await person.sees('$ ');
    await server.call('sandbox_stop', { blocking: true });
    expect(await person.ended).toBe(137);
    expect(person.shown.endsWith('\u001b[0m')).toBe(true);
  });

  it('rejects pipes, unknown sandboxes and stopped ones', async () => {
    const verb = (id: string) => runVerb(['attach', id, '--state-dir', server.stateDir]);
    const piped = await verb(sandboxId);
    expect([piped.code, piped.err]).toEqual([1, expect.stringContaining('needs a terminal')]);
    if (!existsSync(PYTHON)) return;
    const unknown = new Person(['attach', 'sbx_none']);
    expect(await unknown.ended).toBe(1);
    expect(unknown.shown).toContain('There is no sandbox "sbx_none"');
  });
});

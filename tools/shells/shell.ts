import { z } from 'zod';
import type { ShellHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { hasLoneSurrogate } from '../../src/shared/text/utf8.ts';
import { REPLACES, RUNS } from '../common/annotations.ts';
import {
  argument,
  boundedWaitMs,
  cwd,
  DEFAULT_WAIT_MS,
  env,
  execTooBig,
  fitsExec,
  sandboxId,
} from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { keySequences } from './shell-keys.ts';
import { screenBefore, waitForScreen } from './shell-wait.ts';

const DEFAULT_COMMAND = ['/bin/bash'];
const DEFAULT_COLS = 80;
const DEFAULT_ROWS = 24;
/** A starting program may take this long to print something. */
const START_MS = 3_000;
/** A running program reacts to a key sooner. */
const REACTION_MS = 1_000;
/** Waiting for output to stop is shorter than waiting for a text: some programs never stop printing. */
const QUIET_WAIT_MS = 5_000;
const MAX_TEXT_BYTES = 65_536;
/** The terminal before its program has printed anything. */
const BEFORE_ALL = { position: 0, changes: 0, shown: 0, echoed: 0, alternateScreen: false };

const cols = z.int().min(2).max(500);
const rows = z.int().min(1).max(200);
const shellId = z.string();

const shellOutput = z.object({
  shell_id: z.string(),
  screen: z.string(),
  output: z.string(),
  cursor: z.object({ row: z.number(), col: z.number() }),
  cols: z.number(),
  rows: z.number(),
  alternate_screen: z.boolean(),
  /** A line each. */
  highlights: z.string(),
  exit_code: z.int().nullable(),
});

const open = defineTool({
  name: 'sandbox_shell',
  title: 'Open shell',
  description: 'Open a terminal for interactive programs (vim, REPLs, prompts) and return its screen.',
  searchHint: 'interactive terminal, tty, REPL',
  toolsets: ['shells'],
  annotations: RUNS,
  input: z.strictObject({
    command: z
      .array(argument)
      .refine((words) => (words[0] ?? '').trim() !== '', 'a list that starts with a program')
      .optional()
      .describe('default /bin/bash'),
    env: env.optional(),
    cwd,
    sudo: z.boolean().optional(),
    cols: cols.default(DEFAULT_COLS),
    rows: rows.default(DEFAULT_ROWS),
    sandbox_id: sandboxId,
  }),
  output: shellOutput,
  async handle(args, { session, signal }) {
    const command = args.command ?? DEFAULT_COMMAND;
    if (!fitsExec({ cmd: '', args: command, env: args.env })) {
      throw new SandboxError('invalid_argument', execTooBig('`command` and `env` take'));
    }
    const sandbox = await session.sandbox(args.sandbox_id);
    const request = {
      command,
      env: args.env ?? {},
      cwd: args.cwd ?? null,
      sudo: args.sudo ?? false,
      cols: args.cols,
      rows: args.rows,
    };
    const shell = await sandbox.openShell(request, signal);
    const wait = { waitFor: null, waitMs: QUIET_WAIT_MS, reactionMs: START_MS };
    try {
      await waitForScreen(shell.terminal, wait, BEFORE_ALL, signal);
    } catch (error) {
      // The call was cancelled, so nobody gets the id of this shell.
      await shell.end();
      shell.forget();
      throw error;
    }
    return { structured: answer(shell) };
  },
});

const send = defineTool({
  name: 'shell_send',
  title: 'Type in shell',
  description:
    'Type text, then keys, in a terminal, or only read its screen. Waits until wait_for appears or output stops.',
  searchHint: 'press keys, read the screen',
  toolsets: ['shells'],
  annotations: RUNS,
  input: z.strictObject({
    shell_id: shellId,
    text: z
      .string()
      .refine((text) => !hasLoneSurrogate(text), 'text without unpaired surrogates')
      .refine((text) => Buffer.byteLength(text) <= MAX_TEXT_BYTES, `at most ${MAX_TEXT_BYTES} bytes of text`)
      .optional(),
    keys: z.array(z.string()).max(500).optional().describe('enter, tab, esc, up, pgdn, ctrl-c, f1'),
    wait_for: z.string().min(1).optional().describe('text printed after this call'),
    wait_ms: boundedWaitMs.optional(),
    cols: cols.optional(),
    rows: rows.optional(),
  }),
  output: shellOutput,
  async handle(args, { session, signal, boundWait }) {
    const shell = session.shell(args.shell_id);
    const { terminal } = shell;
    const typed =
      enterForNewline(args.text ?? '') + keySequences(args.keys ?? [], terminal.applicationCursor);
    const resized = args.cols !== undefined || args.rows !== undefined;
    const waitFor = args.wait_for ?? null;
    const waitMs = boundWait(args.wait_ms ?? (waitFor === null ? QUIET_WAIT_MS : DEFAULT_WAIT_MS));
    if (typed !== '' && terminal.exit !== null) {
      // If its sandbox has ended, that is the reason, and another shell could not be opened either.
      await (await session.sandbox(shell.sandboxId)).requireRunning(signal);
      throw hasEnded(shell, terminal.exit.exitCode);
    }
    const since = typed !== '' || resized ? screenBefore(terminal, args.text ?? '', waitFor) : null;
    if (resized) {
      const size = terminal.view();
      await terminal.resize(args.cols ?? size.cols, args.rows ?? size.rows);
    }
    if (typed !== '') terminal.type(typed);
    await waitForScreen(
      terminal,
      { waitFor, waitMs, reactionMs: since === null ? 0 : REACTION_MS },
      since,
      signal,
    );
    return { structured: answer(shell) };
  },
});

const close = defineTool({
  name: 'shell_close',
  title: 'Close shell',
  description: 'Close a terminal and end its processes.',
  searchHint: 'end a terminal',
  toolsets: ['shells'],
  annotations: REPLACES,
  input: z.strictObject({ shell_id: shellId }),
  output: shellOutput,
  async handle(args, { session }) {
    const shell = session.shell(args.shell_id);
    await shell.end();
    // Its last screen is kept for a while, so that closing it again is no error.
    return { structured: answer(shell) };
  },
});

/** To a terminal a line end is the enter key. */
function enterForNewline(text: string): string {
  return text.replace(/\r?\n/g, '\r');
}

function hasEnded(shell: ShellHandle, exitCode: number): SandboxError {
  return new SandboxError('conflict', `Shell ${shell.shellId} has exited with code ${exitCode}.`, {
    hint: 'Call sandbox_shell to open another; shell_send without text and keys returns the last screen.',
    details: { shell_id: shell.shellId, exit_code: exitCode },
  });
}

function answer({ shellId: id, terminal }: ShellHandle): z.output<typeof shellOutput> {
  const { text, cursor, cols: width, rows: height, alternateScreen, highlights } = terminal.view();
  return {
    shell_id: id,
    screen: text,
    output: terminal.takeOutput(),
    cursor,
    cols: width,
    rows: height,
    alternate_screen: alternateScreen,
    highlights: highlights
      .map(({ row, col, endCol, text: marked }) => `row ${row}, columns ${col}-${endCol}: ${marked}`)
      .join('\n'),
    exit_code: terminal.exit?.exitCode ?? null,
  };
}

/** Terminal tools, in the order of the tool list. */
export const shellTools: readonly Tool[] = [open, send, close];

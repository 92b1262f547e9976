#!/usr/bin/env node
/**
 * The executable. A small front answers the first messages of a conversation; everything else is in the bundle
 * beside it, which takes longer to load.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import packageJson from '../package.json' with { type: 'json' };
import type { Terminal } from './cli/output/terminal.ts';
import { loadBundle } from './code-cache.ts';
import { type Config, loadConfig, processContext } from './config/config.ts';
import { plainFlags } from './config/plain-flags.ts';
import { FrontAnswers, type PrebuiltList } from './server/front/answers.ts';
import { answerFirst } from './server/front/front.ts';
import { publish, traced } from './shared/async/traced.ts';
import { writeTraceFile } from './trace-file.ts';

type Composition = typeof import('./composition.ts');
type Begun = import('./composition.ts').Begun;

const PROGRAM = fileURLToPath(import.meta.url);
const DIRECTORY = dirname(PROGRAM);

const terminal: Terminal = {
  out: (data) => {
    // A reader such as `head` has closed the pipe. The server handles this itself.
    if (process.stdout.listenerCount('error') === 0) process.stdout.once('error', () => process.exit(0));
    process.stdout.write(data);
  },
  err: (text) => {
    process.stderr.write(text);
  },
  isScreen: process.stdout.isTTY === true,
};

/** Exits once the output is flushed; open timers and sockets do not keep the process alive. */
function exit(code: number): void {
  process.stdout.write('', () => process.exit(code));
}

/** Everything but the front: bundled by the build, as sources otherwise. */
async function loadComposition(): Promise<Composition> {
  const bundle = join(DIRECTORY, 'server.cjs');
  return existsSync(bundle) ? loadBundle<Composition>(bundle).exports : import('./composition.ts');
}

/** Lets the front answer the first messages if it can, until the server has to take over. */
async function begin(argv: readonly string[]): Promise<Begun | null> {
  const list = join(DIRECTORY, 'tools.json');
  const flags = plainFlags(argv, processContext().env);
  if (flags === null || !existsSync(list)) return null;
  let config: Config;
  try {
    config = loadConfig(flags);
  } catch {
    // The complete parser reports it.
    return null;
  }
  if (config.transport === 'http') return null;
  if (config.traceFile !== null) {
    try {
      writeTraceFile(config.traceFile);
    } catch {
      // The server reports it.
      return null;
    }
    publish('front', 'start of Node and of the front', 0);
  }
  const prebuilt: PrebuiltList = JSON.parse(readFileSync(list, 'utf8'));
  const handover = await traced('front', 'answers to the first messages', () =>
    answerFirst({
      answers: new FrontAnswers(prebuilt, config, packageJson.version),
      input: process.stdin,
      output: process.stdout,
      process,
      end: () => exit(0),
    }),
  );
  return { flags, handover };
}

async function main(argv: readonly string[]): Promise<number> {
  const begun = await begin(argv);
  const { runCommandLine, serveBegun } = await traced('front', 'load of the server', loadComposition);
  return begun === null ? runCommandLine(argv, PROGRAM, terminal) : serveBegun(begun);
}

main(process.argv.slice(2)).then(exit, (error: unknown) => {
  terminal.err(`sandbox-mcp: ${error instanceof Error ? error.stack : String(error)}\n`);
  exit(1);
});

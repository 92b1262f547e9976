import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Finding } from '../../engines/engine.ts';
import { commandLine } from '../output/command-line.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Runs the remedies of what is amiss, each step announced before it runs, and each step once: `tried` holds those of
 * earlier rounds. A step that fails is shown. What needs root is only told to those who are not.
 * Answers whether anything ran.
 */
export async function applyRemedies(
  findings: readonly Finding[],
  isRoot: boolean,
  tried: Set<string>,
  terminal: Terminal,
): Promise<boolean> {
  let ran = false;
  for (const finding of findings) {
    if (finding.level === 'ok' || finding.remedy.length === 0) continue;
    if (finding.remedyNeedsRoot && !isRoot) continue;
    for (const step of finding.remedy) {
      const line = commandLine(step);
      if (tried.has(line)) continue;
      tried.add(line);
      ran = true;
      terminal.err(`doctor: running ${line}\n`);
      const failure = await run(step);
      // The next step goes on: a package list that could not be refreshed whole often serves all the same.
      if (failure !== null) terminal.err(`doctor: ${line}: ${failure}\n`);
    }
  }
  return ran;
}

/** Runs one step without a shell and without input, its output on our stderr. Answers what went wrong, or null. */
async function run([program, ...args]: readonly string[]): Promise<string | null> {
  if (program === undefined) return null;
  const child = spawn(program, args, { stdio: ['ignore', 2, 2] });
  try {
    const [code, signal]: unknown[] = await once(child, 'close');
    if (code === 0) return null;
    return typeof code === 'number' ? `ended with exit code ${code}` : `ended by ${String(signal)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Finding } from '../../engines/engine.ts';
import { commandLine } from '../output/command-line.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Runs the fixes for the problems found, announcing each step. Each step runs once: `tried` holds those of
 * earlier rounds. A step that fails is shown. Steps that need root are only printed for other users. Returns
 * whether anything ran.
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
      // Continue with the next step: a package list that was only partly refreshed is often good enough.
      if (failure !== null) terminal.err(`doctor: ${line}: ${failure}\n`);
    }
  }
  return ran;
}

/**
 * Runs one step without a shell and without input, its output on our stderr. Returns the error message, or
 * null.
 */
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

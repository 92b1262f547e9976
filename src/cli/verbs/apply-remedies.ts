import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Finding } from '../../engines/engine.ts';
import { commandLine } from '../output/command-line.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Runs the fixes for the problems found, announcing each step. Each step runs once, and again only after a step of the
 * same fix that is new: `tried` holds those of earlier rounds. A step that fails is shown. Returns whether anything ran.
 * @param asRoot the words before a step that needs root; null: such steps do not run
 */
export async function applyRemedies(
  findings: readonly Finding[],
  asRoot: readonly string[] | null,
  tried: Set<string>,
  terminal: Terminal,
): Promise<boolean> {
  let ran = false;
  for (const finding of findings) {
    if (finding.level === 'ok' || finding.remedy.length === 0) continue;
    const prefix = finding.remedyNeedsRoot ? asRoot : [];
    if (prefix === null) continue;
    let isNew = false;
    for (const words of finding.remedy) {
      const step = [...prefix, ...words];
      const line = commandLine(step);
      isNew ||= !tried.has(line);
      if (!isNew) continue;
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

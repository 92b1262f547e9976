/** Detects from its files what a directory contains, and how to test, build and serve it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DemoError } from './demo-error.ts';

/** A program with its arguments, and a short description. */
export interface Program {
  title: string;
  cmd: string;
  args: string[];
}

export interface Project {
  /** For people: `a Node project`. */
  kind: string;
  /** The program that the sandbox must have, null if it does not matter. */
  needs: string | null;
  test: Program | null;
  build: Program | null;
  start: Program | null;
  /** Where a build may have put its result, the most likely first. */
  artefacts: string[];
}

const packageSchema = z.object({
  scripts: z.object({ test: z.string(), build: z.string(), start: z.string() }).partial().default({}),
});

const PYTHON_MARKS = ['pyproject.toml', 'setup.py', 'setup.cfg', 'requirements.txt', 'pytest.ini', 'tox.ini'];
/** The placeholder that `npm init` writes, which nobody intends to run. */
const NO_TEST = /no test specified/;

/** @throws DemoError for an invalid package.json */
export async function recognise(directory: string): Promise<Project> {
  const names = await readdir(directory);
  if (names.includes('package.json'))
    return nodeProject(await readFile(join(directory, 'package.json'), 'utf8'));
  if (names.some((name) => PYTHON_MARKS.includes(name) || name.endsWith('.py'))) return pythonProject();
  return { kind: 'not a known kind of project', needs: null, ...NOTHING };
}

const NOTHING = { test: null, build: null, start: null, artefacts: [] };

function nodeProject(text: string): Project {
  let scripts: z.output<typeof packageSchema>['scripts'];
  try {
    ({ scripts } = packageSchema.parse(JSON.parse(text)));
  } catch {
    throw new DemoError('Its package.json is not valid: it is not JSON, or a script is not text.');
  }
  const runnable = scripts.test !== undefined && !NO_TEST.test(scripts.test) ? scripts.test : undefined;
  return {
    kind: 'a Node project',
    needs: 'node',
    test: script('test', runnable),
    build: script('build', scripts.build),
    start: script('start', scripts.start),
    artefacts: ['dist/report.html', 'dist', 'build', 'out'],
  };
}

/** Runs a package script like npm, but without npm, which a sandbox may not have. */
function script(name: string, line: string | undefined): Program | null {
  if (line === undefined) return null;
  return {
    title: line,
    cmd: 'sh',
    args: ['-c', `PATH="$PWD/node_modules/.bin:$PATH"; export PATH; ${line}`, name],
  };
}

/** pytest if the sandbox has it; unittest is always available. */
function pythonProject(): Project {
  const line =
    'if python3 -c "import pytest" 2>/dev/null; then exec python3 -m pytest -q; fi; exec python3 -m unittest';
  return {
    kind: 'a Python project',
    needs: 'python3',
    test: { title: 'pytest, or else unittest', cmd: 'sh', args: ['-c', line] },
    build: null,
    start: null,
    artefacts: [],
  };
}

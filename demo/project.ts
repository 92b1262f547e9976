/** Finds out what a directory is, and how to test, build and serve it, from its files alone. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DemoError } from './demo-error.ts';

/** A program with its arguments, and how to say it in few words. */
export interface Program {
  title: string;
  cmd: string;
  args: string[];
}

export interface Project {
  /** In words: `a Node project`. */
  kind: string;
  /** The program that has to be in the sandbox, null where it does not matter. */
  needs: string | null;
  test: Program | null;
  build: Program | null;
  start: Program | null;
  /** Where a build may have put its result, the likeliest first. */
  artefacts: string[];
}

const packageSchema = z.object({
  scripts: z.object({ test: z.string(), build: z.string(), start: z.string() }).partial().default({}),
});

const PYTHON_MARKS = ['pyproject.toml', 'setup.py', 'setup.cfg', 'requirements.txt', 'pytest.ini', 'tox.ini'];
/** What `npm init` writes, and what nobody means to run. */
const NO_TEST = /no test specified/;

/** @throws DemoError for a package.json that is none */
export async function recognise(directory: string): Promise<Project> {
  const names = await readdir(directory);
  if (names.includes('package.json'))
    return nodeProject(await readFile(join(directory, 'package.json'), 'utf8'));
  if (names.some((name) => PYTHON_MARKS.includes(name) || name.endsWith('.py'))) return pythonProject();
  return { kind: 'no project that the demo knows', needs: null, ...NOTHING };
}

const NOTHING = { test: null, build: null, start: null, artefacts: [] };

function nodeProject(text: string): Project {
  let scripts: z.output<typeof packageSchema>['scripts'];
  try {
    ({ scripts } = packageSchema.parse(JSON.parse(text)));
  } catch {
    throw new DemoError('Its package.json is not valid: no JSON, or scripts that are no text.');
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

/** Runs a package script as npm would, but without npm, which a sandbox need not have. */
function script(name: string, line: string | undefined): Program | null {
  if (line === undefined) return null;
  return {
    title: line,
    cmd: 'sh',
    args: ['-c', `PATH="$PWD/node_modules/.bin:$PATH"; export PATH; ${line}`, name],
  };
}

/** pytest where the sandbox has it; unittest is always there. */
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

/**
 * Names of files that programs of the host run, or take commands from, once somebody works in the folder:
 * version control, editors, shells that load a folder's environment, package managers, assistants. What a
 * sandbox writes there would run outside of it.
 */

/** How many a result names. */
const MAX_NAMED = 20;

/** Files by their last name, wherever they are. */
const FILES = new Set([
  '.autoenv',
  '.autoenv.zsh',
  '.bazelrc',
  '.dir-locals.el',
  '.envrc',
  '.exrc',
  '.gdbinit',
  '.gitconfig',
  '.lldbinit',
  '.mcp.json',
  '.mise.toml',
  '.npmrc',
  '.nvim.lua',
  '.nvimrc',
  '.pnpmfile.cjs',
  '.pre-commit-config.yaml',
  '.vimrc',
  '.yarnrc',
  '.yarnrc.yml',
  'binding.gyp',
  'build.rs',
  'composer.json',
  'conftest.py',
  'gradlew',
  'lefthook.yml',
  'mise.toml',
  'mvnw',
  'package.json',
  'setup.py',
  'sitecustomize.py',
]);
/** Folders whose files count, wherever they are. */
const FOLDERS = new Set([
  '.cargo',
  '.claude',
  '.codex',
  '.cursor',
  '.devcontainer',
  '.gemini',
  '.githooks',
  '.husky',
  '.idea',
  '.mvn',
  '.vscode',
  '.zed',
]);
const SUFFIXES = ['.code-workspace', '.sublime-project'];
/** Below `.git` or a bare repository: settings may name programs (`core.fsmonitor`), hooks are programs. */
const GIT_CONFIG = new Set(['config', 'config.worktree']);

/** Collects the paths of a tree that count. */
export class ExecutedOnHost {
  readonly #named: string[] = [];
  #more = 0;

  /** @param path of a file or a link, in the tree; of a single file, its name */
  add(path: string): void {
    if (!executesOnHost(path)) return;
    if (this.#named.length < MAX_NAMED) this.#named.push(path);
    else this.#more += 1;
  }

  /** The first ones, and how many there are beyond them. */
  get paths(): string[] {
    return this.#more === 0 ? [...this.#named] : [...this.#named, `… and ${this.#more} more`];
  }
}

function executesOnHost(path: string): boolean {
  // Case does not matter on some file systems.
  const names = path.toLowerCase().split('/');
  const file = names.pop() ?? '';
  if (FILES.has(file) || SUFFIXES.some((suffix) => file.endsWith(suffix))) return true;
  if (names.some((name) => FOLDERS.has(name))) return true;
  const isGit = names.some((name) => name === '.git' || name.endsWith('.git'));
  // A `.git` file names the folder where the settings are.
  return file === '.git' || (isGit && (GIT_CONFIG.has(file) || names.includes('hooks')));
}

/**
 * Names of files that programs of the host run, or take commands from, once somebody works in the folder:
 * version control, editors, shells that load a folder's environment, package managers, build tools, linters,
 * debuggers, assistants. What a sandbox writes there would run outside of it.
 */

/** How many a result names. */
const MAX_NAMED = 20;

/** Files by their last name, wherever they are. In lower case, as some file systems ignore it. */
const FILES = namesOf(`
  .autoenv .autoenv.zsh .env .env.leave .envrc .mise.toml mise.toml .tool-versions devbox.json
  .bash_aliases .bash_login .bash_logout .bash_profile .bashrc .kshrc .profile .zlogin .zlogout .zprofile
  .zshenv .zshrc .screenrc .tmux.conf .xinitrc .xprofile .xsession
  .dir-locals.el .dir-locals-2.el .emacs .exrc .lvimrc .nvim.lua .nvimrc .vimrc
  .gitconfig .commitlintrc .huskyrc .lintstagedrc .lintstagedrc.json .overcommit.yml .pre-commit-config.yaml
  .pre-commit-hooks.yaml .simple-git-hooks.json
  .mcp.json mcp.json .aider.conf.yml .crush.json crush.json opencode.json opencode.jsonc
  .devcontainer.json compose.yaml compose.yml docker-compose.yaml docker-compose.yml vagrantfile
  .npmrc .pnpmfile.cjs .pnpmfile.mjs .yarnrc .yarnrc.yml binding.gyp bunfig.toml deno.json deno.jsonc
  package.json pnpm-workspace.yaml
  .flake8 .pdbrc .pylintrc conftest.py dodo.py fabfile.py mypy.ini noxfile.py pip.conf pylintrc pyproject.toml
  pytest.ini pyvenv.cfg setup.cfg setup.py sitecustomize.py tasks.py tox.ini usercustomize.py
  build.rs cargo.toml rust-toolchain rust-toolchain.toml
  .gemrc .irbrc .pryrc .rubocop.yml gemfile podfile rakefile
  .php-cs-fixer.php composer.json phpstan.neon
  build.gradle build.gradle.kts build.sbt build.xml gradlew mvnw pom.xml settings.gradle settings.gradle.kts
  .bazelrc build.bazel module.bazel workspace workspace.bazel
  build.zig cmakelists.txt cmakepresets.json configure gnumakefile justfile makefile meson.build sconstruct
  taskfile.yaml taskfile.yml wscript
  directory.build.props directory.build.rsp directory.build.targets package.swift
  default.nix flake.nix shell.nix
  .gdbinit .ghci .iex.exs .lldbinit .ocamlinit .psqlrc .rprofile .sqliterc ansible.cfg mix.exs nx.json turbo.json
  gruntfile.js gulpfile.js
`);
/** Folders whose files count, wherever they are. */
const FOLDERS = namesOf(`
  .bundle .cargo .githooks .husky .lefthook .mise .moon .mvn .trunk .yarn
  .devcontainer .emacs.d .externaltoolbuilders .fleet .helix .idea .run .vim .vs .vscode .zed
  .agents .amazonq .amp .augment .claude .codex .continue .copilot .cursor .factory .gemini .junie .kiro .opencode
  .qwen .roo .trae .windsurf
  .aws .docker .gnupg .kube .ssh
`);
const SUFFIXES = [
  ...['.code-workspace', '.sublime-project', '.pth'],
  ...['.csproj', '.fsproj', '.sln', '.slnx', '.vbproj', '.vcxproj'],
];
/** Of settings that are programs: `eslint.config.mjs`, `.prettierrc.cjs`. */
const PROGRAM_SUFFIXES = ['.js', '.cjs', '.mjs', '.ts', '.cts', '.mts'];
/** Below `.git` or a bare repository: settings may name programs (`core.fsmonitor`), hooks are programs. */
const GIT_CONFIG = new Set(['config', 'config.worktree', 'commondir']);
/** So many directories are remembered to find bare repositories, which may have any name. */
const MAX_REMEMBERED = 10_000;

/** Collects the paths of a tree that count. */
export class ExecutedOnHost {
  readonly #named: string[] = [];
  readonly #halfRepositories = new Map<string, 'config' | 'head'>();
  readonly #root: string;
  #more = 0;

  /** @param root where the tree, or the single file, is in the folder that somebody may work in */
  constructor(root = '') {
    this.#root = root;
  }

  /**
   * @param path of a file or a link, in the tree; empty for a single file
   * @param shown the path to name, if it is another one
   */
  add(path: string, shown = path): void {
    // Case does not matter on some file systems.
    const names = [this.#root, path].join('/').toLowerCase().split('/').filter(Boolean);
    if (!executesOnHost(names) && !this.#completesRepository(names)) return;
    if (this.#named.length < MAX_NAMED) this.#named.push(shown);
    else this.#more += 1;
  }

  /** The first ones, and how many there are beyond them. */
  get paths(): string[] {
    return this.#more === 0 ? [...this.#named] : [...this.#named, `… and ${this.#more} more`];
  }

  /** Git takes every directory with `HEAD` and `config` for a repository if somebody works in it. */
  #completesRepository(names: readonly string[]): boolean {
    const file = names.at(-1);
    if (file !== 'config' && file !== 'head') return false;
    const directory = names.slice(0, -1).join('/');
    const half = this.#halfRepositories.get(directory);
    if (half !== undefined) return half !== file;
    // Beyond that each half counts: a sandbox could send so many to hide a whole one.
    if (this.#halfRepositories.size >= MAX_REMEMBERED) return true;
    this.#halfRepositories.set(directory, file);
    return false;
  }
}

function executesOnHost(names: readonly string[]): boolean {
  const file = names.at(-1) ?? '';
  const folders = names.slice(0, -1);
  if (FILES.has(file) || SUFFIXES.some((suffix) => file.endsWith(suffix))) return true;
  if (folders.some((name) => FOLDERS.has(name) || name.endsWith('.xcodeproj'))) return true;
  if (isToolSetting(file) || file.startsWith('lefthook.') || file.startsWith('lefthook-local.')) return true;
  if (file === 'hgrc' && folders.includes('.hg')) return true;
  if (file === 'config.toml' && folders.includes('.jj')) return true;
  const isGit = folders.some((name) => name === '.git' || name.endsWith('.git'));
  const isGitOfUser = folders.at(-1) === 'git' && folders.at(-2) === '.config';
  // A `.git` file names the folder where the settings are.
  return (
    file === '.git' ||
    (isGit && (GIT_CONFIG.has(file) || folders.includes('hooks'))) ||
    (isGitOfUser && file === 'config')
  );
}

/** Whether a name is that of a tool's settings in a programming language, which editors load by themselves. */
function isToolSetting(file: string): boolean {
  const suffix = PROGRAM_SUFFIXES.find((ending) => file.endsWith(ending));
  if (suffix === undefined) return false;
  const name = file.slice(0, -suffix.length);
  return name.endsWith('.config') || name.endsWith('.conf') || (name.startsWith('.') && name.endsWith('rc'));
}

function namesOf(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}

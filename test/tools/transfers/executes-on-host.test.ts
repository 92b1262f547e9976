import { describe, expect, it } from 'vitest';
import { ExecutedOnHost } from '../../../tools/transfers/executes-on-host.ts';

function named(...paths: string[]): string[] {
  const executed = new ExecutedOnHost();
  for (const path of paths) executed.add(path);
  return executed.paths;
}

describe('what a download brings that can run on the host', () => {
  it.each([
    '.git/config',
    '.git/config.worktree',
    '.git/hooks/post-checkout',
    'sub/.GIT/Config',
    '.git/modules/dep/hooks/pre-commit',
    'mirror.git/config',
    'worktree/.git',
    '.envrc',
    '.vscode/tasks.json',
    'app/package.json',
    '.idea/runConfigurations/run.xml',
    '.claude/settings.json',
    '.husky/pre-commit',
    'all.code-workspace',
    'Makefile',
    '.pre-commit-config.yaml',
    'lefthook.toml',
    '.devcontainer.json',
    '.devcontainer/devcontainer.json',
    '.cursor/mcp.json',
    '.windsurf/mcp.json',
    'opencode.json',
    '.npmrc',
    'bunfig.toml',
    '.yarn/releases/yarn.cjs',
    'eslint.config.mjs',
    'web/.prettierrc.cjs',
    'pyproject.toml',
    '.pylintrc',
    '.venv/pyvenv.cfg',
    'rust-toolchain.toml',
    'App.xcodeproj/project.pbxproj',
    'App.csproj',
    '.hg/hgrc',
    '.git/commondir',
    '.config/git/config',
    '.ssh/config',
    '.aws/config',
    '.bashrc',
    '.ghci',
    'CMakeLists.txt',
  ])('is named: %s', (path) => {
    expect(named(path)).toEqual([path]);
  });

  it.each([
    'src/config',
    'hooks/use-state.ts',
    '.git/HEAD',
    '.gitignore',
    'package.json.md',
    'environment',
    'vscode/x',
    'app.config',
    'src/config.ts',
    'makefile.md',
    'HEAD',
  ])('is not: %s', (path) => {
    expect(named(path)).toEqual([]);
  });

  it.each([
    ['project/.git', 'hooks/pre-commit', true],
    ['project/.vscode', 'tasks.json', true],
    ['project/.vscode/tasks.json', '', true],
    ['project/src', 'tasks.json', false],
  ])('depends on where it goes: to %s, %s', (root, path, counts) => {
    const executed = new ExecutedOnHost(root);
    executed.add(path, 'shown');
    expect(executed.paths).toEqual(counts ? ['shown'] : []);
  });

  it.each([
    ['HEAD', 'config'],
    ['data/HEAD', 'data/config'],
  ])('is a bare repository of any name: %s and %s', (head, config) => {
    expect(named(head, 'other/config', config)).toEqual([config]);
    expect(named(config, 'other/HEAD', head)).toEqual([head]);
  });

  it('is a repository also behind more halves of others than are remembered', () => {
    const executed = new ExecutedOnHost();
    for (let n = 0; n < 10_000; n++) executed.add(`${n}/config`);
    expect(executed.paths).toEqual([]);
    executed.add('x/HEAD');
    expect(executed.paths).toEqual(['x/HEAD']);
  });

  it('is counted beyond the first ones', () => {
    const found = named(...Array.from({ length: 30 }, (_, n) => `${n}/package.json`));
    expect(found).toHaveLength(21);
    expect(found.at(-1)).toBe('… and 10 more');
  });
});

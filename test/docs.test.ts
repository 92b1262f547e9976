import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FLAGS } from '../src/config/flags.ts';
import { TOOLS } from '../tools/index.ts';

const ROOT = join(import.meta.dirname, '..');
/** The beginnings of paths in the repository. */
const ROOMS = ['src', 'tools', 'agent', 'test', 'scripts', 'docs', 'bench', 'demo', 'examples', 'licenses'];

const FILES = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .trim()
  .split('\n');
const NAMES = new Set(FILES.map((path) => basename(path)));
const PAGES = FILES.filter((path) => /^([A-Z_]+|docs\/[^/]+|\.github\/.+)\.md$/.test(path));
/** It also names past files. */
const HISTORY = 'CHANGELOG.md';

const PATH = new RegExp(`(?<![\\w./~$-])(?:${ROOMS.join('|')})/[\\w.*/-]*[\\w*/]`, 'g');
/** MCP methods look like paths. */
const METHODS = ['tools/call', 'tools/list'];
const CODE_SPAN = /`([^`\n]+)`/g;
const SOURCE_NAME = /^[\w-]+(\.[\w-]+)*\.(ts|mjs|c|h)$/;

function read(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** Whether a file, a folder or, with `*`, at least one file of this name exists in the repository. */
function exists(path: string): boolean {
  const whole = path.replace(/\/$/, '');
  if (!whole.includes('*')) return FILES.some((file) => file === whole || file.startsWith(`${whole}/`));
  const pattern = new RegExp(`^${whole.split('*').map(escapeAll).join('[^/]*')}(/|$)`);
  return FILES.some((file) => pattern.test(file));
}

function escapeAll(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\-]/g, '\\$&');
}

/** The anchors of a page's headings. */
function anchorsOf(text: string): string[] {
  return [...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutFences(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '');
}

/** Broken relative targets of links and images. */
function brokenLinks(page: string): string[] {
  const targets = [...withoutFences(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, target = '']) => target,
  );
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : posix.normalize(posix.join(posix.dirname(page), path));
      if (!exists(file)) return true;
      return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
    });
}

/** Paths and names of source files that do not exist in the repository. */
function unknownPaths(page: string): string[] {
  const text = read(page);
  const paths = [...text.matchAll(PATH)]
    .map(([path]) => path)
    .filter((path) => !METHODS.includes(path) && !exists(path));
  const names = [...withoutFences(text).matchAll(CODE_SPAN)]
    .map(([, span = '']) => span)
    .filter((span) => SOURCE_NAME.test(span) && !NAMES.has(span));
  return [...paths, ...names];
}

/** The contents of the fenced blocks of a language; the empty string selects blocks without one. */
function blocksOf(page: string, language: string): string[] {
  const blocks = [...read(page).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  return blocks.filter(([, name]) => name === language).map(([, , text = '']) => text);
}

/**
 * The lines `TOOL {…}` of the examples. Text after the arguments, behind two spaces or an arrow, is a remark.
 */
function exampleCalls(page: string): { tool: string; args: string }[] {
  const lines = blocksOf(page, '').flatMap((block) => block.split('\n'));
  return lines.flatMap((line) => {
    const [, tool, args] = line.match(/^([a-z]+_[a-z_]+) (\{.*\})(\s\s.*|\s+→.*)?$/) ?? [];
    return tool === undefined || args === undefined ? [] : [{ tool, args }];
  });
}

/** The flags of the server in the settings of clients that a page shows. */
function flagsOfEntries(page: string): string[] {
  return blocksOf(page, 'json').flatMap((block) =>
    [...block.matchAll(/"args": (\[[^\]]*\])/g)].flatMap(([, list = '[]']) => {
      const args: string[] = JSON.parse(list);
      const program = args.findIndex((one) => one === 'sandbox-mcp' || one.endsWith('/main.js'));
      return program < 0 ? [] : args.slice(program).filter((one) => one.startsWith('--'));
    }),
  );
}

describe('the documentation', () => {
  it('has the pages that these checks cover', () => {
    expect(PAGES).toEqual(
      expect.arrayContaining(['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'docs/architecture.md']),
    );
  });

  it.each(PAGES)('%s links to pages and headings that exist', (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it.each(PAGES.filter((page) => page !== HISTORY))('%s names existing files', (page) => {
    expect(unknownPaths(page)).toEqual([]);
  });

  it.each(PAGES.filter((page) => page !== HISTORY))('%s names the image of this version', (page) => {
    const { version } = JSON.parse(read('package.json'));
    const versions = [...read(page).matchAll(/sandbox-mcp\/sandbox-mcp:(\d[\w.]*)/g)].map(([, one]) => one);
    expect(versions.filter((one) => one !== version)).toEqual([]);
  });

  it.each(PAGES)('%s names existing npm scripts', (page) => {
    const { scripts } = JSON.parse(read('package.json'));
    const named = [...read(page).matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('the examples of the documentation', () => {
  it.each(PAGES.filter((page) => blocksOf(page, 'json').length > 0))('%s shows valid JSON', (page) => {
    for (const block of blocksOf(page, 'json')) expect(() => JSON.parse(block), block).not.toThrow();
  });

  it.each(PAGES.filter((page) => flagsOfEntries(page).length > 0))('%s shows flags that exist', (page) => {
    const flags = FLAGS.map(({ name }) => `--${name}`);
    expect(flagsOfEntries(page).filter((flag) => !flags.includes(flag))).toEqual([]);
  });

  it.each(PAGES.filter((page) => exampleCalls(page).length > 0))('%s shows valid calls', (page) => {
    for (const { tool, args } of exampleCalls(page)) {
      const input = TOOLS.find(({ name }) => name === tool)?.input;
      expect(input?.safeParse(JSON.parse(args)).error, `${tool} ${args}`).toBeUndefined();
      expect(input, tool).toBeDefined();
    }
  });

  it('are found', () => {
    const tools = exampleCalls('docs/commands.md').map(({ tool }) => tool);
    expect(tools).toContain('command_wait');
    expect(blocksOf('docs/clients.md', 'json').length).toBeGreaterThan(5);
    expect(flagsOfEntries('docs/ci.md')).toEqual(['--allow-dir', '--max-lifetime']);
  });
});

describe('exists', () => {
  it.each([
    ['src/main.ts', true],
    ['src/registry/', true],
    ['agent/*/*.c', true],
    ['src/main.t', false],
    ['src/regist', false],
    ['agent/*.nothing', false],
  ])('%s: %s', (path, expected) => {
    expect(exists(path)).toBe(expected);
  });
});

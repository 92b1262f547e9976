import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NewestLines } from '../../demo/newest-lines.ts';
import { recognise } from '../../demo/project.ts';
import { Screen, wantsColour } from '../../demo/screen.ts';

describe('wantsColour', () => {
  it('is true for terminals whose user has not disabled colours', () => {
    expect(wantsColour({ isTTY: true }, undefined)).toBe(true);
    expect(wantsColour({ isTTY: true }, '')).toBe(true);
    expect(wantsColour({ isTTY: true }, '1')).toBe(false);
    expect(wantsColour({}, undefined)).toBe(false);
  });
});

describe('Screen', () => {
  function shown(colour: boolean, show: (screen: Screen) => void): string {
    let text = '';
    show(
      new Screen((part) => {
        text += part;
      }, colour),
    );
    return text;
  }

  it('removes control sequences of sandboxed programs', () => {
    const line = 'a\u001b[2Jb\u001b]0;title\u0007c\rd\u009b31me';
    const text = shown(false, (screen) => screen.output(line));
    expect(text.trimEnd()).not.toMatch(/\p{Cc}/u);
    expect(text).toContain('a');
  });

  it('colours if enabled', () => {
    expect(shown(true, (screen) => screen.step('s', 1_234, 'done'))).toContain('\u001b[32m✓\u001b[0m');
    expect(shown(false, (screen) => screen.step('s', 1_234, 'done'))).toMatch(
      /^ {2}✓ s +1,234 ms {3}done\n$/,
    );
  });
});

describe('NewestLines', () => {
  it.each<[string, string[], string[], string[]]>([
    ['a program without progress', [], ['a', 'b'], ['a', 'b']],
    ['a program that exits at once', ['b'], ['a', 'b'], ['a', 'b']],
    ['long output whose end was partly shown', ['x', 'a', 'b'], ['a', 'b', 'c'], ['x', 'a', 'b', 'c']],
    ['output whose end was not shown yet', ['x', 'y'], ['b', 'c'], ['x', 'b', 'c']],
  ])('joins the lines of %s', (_, progress, tail, expected) => {
    const lines: string[] = [];
    const newest = new NewestLines((line) => lines.push(line));
    for (const line of progress) newest.add(line);
    newest.end(tail);
    expect(lines).toEqual(expected);
  });
});

describe('recognise', () => {
  let directory = '';

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'project-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('recognises the scripts of a Node project', async () => {
    const scripts = { test: 'node --test', start: 'node server.js' };
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts }));
    const project = await recognise(directory);
    expect(project).toMatchObject({ kind: 'a Node project', needs: 'node', build: null });
    expect(project.test?.title).toBe('node --test');
    expect(project.start?.args[1]).toMatch(/node_modules\/\.bin.*; node server\.js$/);
  });

  it('ignores the placeholder test script of npm', async () => {
    const scripts = { test: 'echo "Error: no test specified" && exit 1' };
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts }));
    expect((await recognise(directory)).test).toBeNull();
  });

  it('rejects an invalid package.json', async () => {
    writeFileSync(join(directory, 'package.json'), '{');
    await expect(recognise(directory)).rejects.toThrow(/package\.json is not valid/);
  });

  it('recognises a Python project by its files', async () => {
    writeFileSync(join(directory, 'test_it.py'), '');
    expect(await recognise(directory)).toMatchObject({ kind: 'a Python project', needs: 'python3' });
  });

  it('reports an unknown project', async () => {
    expect(await recognise(directory)).toMatchObject({ needs: null, test: null });
  });
});

/** The tables of docs/clients.md are those of the pinned clients: `npm run clients` writes them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { answersFor } from '../../src/server/answer-form.ts';
import { AGENTS } from './agents/agents.ts';
import { LIBRARY_CLIENTS } from './library-clients.ts';
import { agentKey, libraryKey } from './report.ts';
import { rowsOf, withRows } from './table-rows.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/clients.md'), 'utf8');

/** They end in one way only. */
const ENDING_BY_CLOSE = LIBRARY_CLIENTS.filter(({ endsByClose }) => endsByClose).map(libraryKey);

describe('the page about clients', () => {
  it.each([
    ['library-jobs', LIBRARY_CLIENTS.map(libraryKey)],
    ['library-http', LIBRARY_CLIENTS.map(libraryKey)],
    ['library-tokens', LIBRARY_CLIENTS.map(({ title }) => title)],
    ['agent-jobs', AGENTS.map(agentKey)],
    ['agent-tokens', AGENTS.map(({ title }) => title)],
  ])('has rows of pinned versions alone: %s', (name, keys) => {
    const rows = rowsOf(PAGE, name).map(([key]) => key);
    expect(rows.length).toBeGreaterThan(0);
    expect(keys.filter((key) => rows.includes(key))).toEqual(rows);
  });

  it.each(['library-jobs', 'agent-jobs'])('tells of runs as expected, which left nothing: %s', (name) => {
    for (const [key, results, copies, ...more] of rowsOf(PAGE, name)) {
      expect([key, results]).toEqual([key, 'as expected']);
      expect(['one', 'the program chooses']).toContain(copies);
      const left = more.slice(name === 'library-jobs' ? 1 : 0).filter((text) => text !== 'not tried');
      expect([key, ...new Set(left)]).toEqual([key, 'nothing']);
      if (left.length < more.length - 1) expect(ENDING_BY_CLOSE).toContain(key);
    }
  });
});

it('the page tells of runs over HTTP as expected, which left nothing', () => {
  for (const [key, ...cells] of rowsOf(PAGE, 'library-http'))
    expect([key, ...cells]).toEqual([key, 'as expected', 'nothing']);
});

describe('the form of answers', () => {
  const section = PAGE.split(/^## /m).find((text) => text.startsWith('One copy of an answer')) ?? '';
  const rows = [...section.matchAll(/^\| (.*?) \| `(.*?)` \| `(.*?)`/gm)];

  it('is documented as it is chosen', () => {
    expect(rows.length).toBeGreaterThan(4);
    const chosen = rows.map(([, , name = '']) => answersFor('auto', name.replace('NAME', 'mine')).form);
    expect(chosen).toEqual(rows.map(([, , , form]) => form));
  });

  it('is in the README for each client that gets one of its own', () => {
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    const paragraph = readme.split('\n\n').find((text) => text.startsWith('The model sees each answer once'));
    const clients = rows.filter(([, , , form]) => form !== 'both').map(([, client = '']) => client);
    for (const client of clients) expect(paragraph).toContain(client.split(' ')[0]);
  });
});

describe('a table of a page', () => {
  const page = ['a', '<!-- t:begin -->', '| k | v |', '| --- | --- |', '| one | 1 |', '| old | 0 |'].join(
    '\n',
  );
  const whole = `${page}\n<!-- t:end -->\nb`;

  it('keeps the rows that are not replaced, in the order of the keys, and drops what has no key', () => {
    const changed = withRows(whole, 't', ['k', 'v'], ['two', 'one', 'three'], [['two', '2']]);
    expect(rowsOf(changed, 't')).toEqual([
      ['two', '2'],
      ['one', '1'],
    ]);
    expect(changed.startsWith('a\n')).toBe(true);
    expect(changed.endsWith('<!-- t:end -->\nb')).toBe(true);
    expect(rowsOf(withRows(changed, 't', ['k', 'v'], ['one'], [['one', '3']]), 't')).toEqual([['one', '3']]);
  });
});

/** The tables of docs/clients.md are those of the pinned clients: `npm run clients` writes them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { answerForm } from '../../src/server/answer-form.ts';
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
    const chosen = rows.map(([, , name = '']) => answerForm('auto', name.replace('NAME', 'mine')));
    expect(chosen).toEqual(rows.map(([, , , form]) => form));
  });

  it('is in the README for each client that gets one of its own', () => {
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    const paragraph = readme.split('\n\n').find((text) => text.startsWith('The model sees each answer once'));
    const clients = rows.filter(([, , , form]) => form !== 'both').map(([, client = '']) => client);
    for (const client of clients) expect(paragraph).toContain(client.split(' ')[0]);
  });
});

describe('the clients that CI runs', () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');

  it('are known ones', () => {
    const named = /npm run clients -- (.*)/.exec(read('.github/workflows/ci.yml'))?.[1]?.split(' ') ?? [];
    expect(named.length).toBeGreaterThan(5);
    const names = LIBRARY_CLIENTS.map(({ name }) => name);
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
  });

  it('are in the versions of the table where they are development dependencies', () => {
    const { devDependencies }: { devDependencies: Record<string, string> } = JSON.parse(read('package.json'));
    for (const name of ['sdk-1.32', 'client-2-auto', 'client-2-pinned']) {
      const [pinned = ''] = LIBRARY_CLIENTS.find((client) => client.name === name)?.packages ?? [];
      const [, library = '', version] = /^(.+)@(.+)$/.exec(pinned) ?? [];
      expect([library, devDependencies[library]]).toEqual([library, version]);
    }
  });
});

it('the set-up for the cloud puts its credentials into the env of a client', () => {
  const cloud = readFileSync(join(import.meta.dirname, '../../docs/cloud.md'), 'utf8');
  const [, json = '', , shell = ''] = cloud.split(/^```\w*$/m);
  const names = ['VERCEL_TOKEN', 'VERCEL_TEAM_ID', 'VERCEL_PROJECT_ID'];
  expect(Object.keys(JSON.parse(json).mcpServers.sandbox.env)).toEqual(names);
  for (const name of names) expect(shell).toContain(` -e ${name}=`);
});

describe('each client', () => {
  const sections = PAGE.slice(PAGE.indexOf('\n## Claude Desktop'), PAGE.indexOf('\n## Libraries')).split(
    /^## /m,
  );

  it('has one block to set it up, and says how secrets get in, how long it waits and what it shows', () => {
    expect(sections.length).toBeGreaterThan(12);
    for (const section of sections.slice(1)) {
      expect(section.match(/^```/gm), section).toHaveLength(2);
      // Most clients pass nothing else on.
      expect(section.split(/^```/m)[1]).toContain('SANDBOX_MCP_SECRET_GITHUB');
      const told = [...section.matchAll(/^- \*\*([\w -]+?):?\*\*/gm)].map(([, name]) => name);
      expect(
        told.filter((name) => name !== 'Start'),
        section,
      ).toEqual(['Secrets', 'Time-out', 'The model sees', 'Long work']);
    }
  });

  it('is in the overview if it was measured', () => {
    const overview = PAGE.slice(PAGE.indexOf('\n## Overview'), PAGE.indexOf('\n## One copy'));
    const measured = sections.filter((section) => /^Measured with /m.test(section));
    expect(measured).toHaveLength(5);
    for (const section of measured) {
      const title = section.split('\n')[0];
      const version = /^Measured with ([\d.]+)[;.]/m.exec(section)?.[1]?.replace(/\.$/, '');
      expect(overview).toContain(`| [${title}](#${title?.toLowerCase().replaceAll(' ', '-')}) ${version} |`);
    }
  });
});

it.each(['library-tokens', 'agent-tokens'])('no client’s model pays twice for a long answer: %s', (name) => {
  const head = PAGE.slice(PAGE.indexOf(`<!-- ${name}:begin -->`)).split('\n')[1] ?? '';
  const column = head.split(' | ').findIndex((title) => title.includes('lines of output'));
  const tokens = rowsOf(PAGE, name).map((cells) => Number(cells[column]?.replaceAll(',', '')));
  expect(tokens.length).toBeGreaterThan(4);
  // Others wrap or quote the lines; two copies are twice as much.
  expect(Math.max(...tokens)).toBeLessThan(1.8 * Math.min(...tokens));
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

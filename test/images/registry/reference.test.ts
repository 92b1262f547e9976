/** Names of images: references, rules for them, and short names. */
import { describe, expect, it } from 'vitest';
import { ImageRules } from '../../../src/images/registry/image-rules.ts';
import {
  canonicalReference,
  familiarReference,
  fullReference,
  isExplicitReference,
  parseReference,
  requireReference,
} from '../../../src/images/registry/reference.ts';
import {
  imageOfRuntime,
  runtimeOfImage,
  shownReference,
} from '../../../src/images/registry/runtime-images.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const NONE: ReadonlyMap<string, string> = new Map();
const HUB = canonicalReference(requireReference('x')).split('/')[0];

describe('a reference', () => {
  it.each([
    ['python', `${HUB}/library/python:latest`, 'python:latest'],
    ['python:3.13-slim', `${HUB}/library/python:3.13-slim`, 'python:3.13-slim'],
    ['team/app', `${HUB}/team/app:latest`, 'team/app:latest'],
    ['registry.example/app:1', 'registry.example/app:1', 'registry.example/app:1'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/a/b__c-d.e:T_1', 'localhost:5000/a/b__c-d.e:T_1', 'localhost:5000/a/b__c-d.e:T_1'],
    ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
    [`registry.example/app@${DIGEST}`, `registry.example/app@${DIGEST}`, `registry.example/app@${DIGEST}`],
  ])('%s is read in full', (text, canonical, familiar) => {
    const reference = requireReference(text);
    expect(canonicalReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(canonical)).toEqual(reference);
  });

  it('with a tag and a digest is the image of the digest, and shows both', () => {
    const reference = requireReference(`app:1@${DIGEST}`);
    expect(canonicalReference(reference)).toBe(`${HUB}/library/app@${DIGEST}`);
    expect(familiarReference(reference)).toBe(`app:1@${DIGEST}`);
    expect(fullReference(reference)).toBe(`${HUB}/library/app:1@${DIGEST}`);
  });

  it.each([
    '',
    'A',
    'a b',
    '../etc/passwd',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:-',
    'a@sha256:12',
    'a@sha512:12',
    `a:@${DIGEST}`,
    `a:1@${DIGEST}0`,
    `a@${DIGEST}:1`,
    `a@${DIGEST}@${DIGEST}`,
    'a..b',
    'a___b',
    '-a',
    'registry.example:port/a',
    'http://registry.example/a',
    'registry.example/A',
    `a:${'t'.repeat(129)}`,
    `${'a/'.repeat(200)}a`,
    'user:password@registry.example/app',
  ])('%j is none', (text) => {
    expect(parseReference(text)).toBeNull();
    expect(() => requireReference(text)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it('is distinguished from a misspelled runtime by its tag, digest or path', () => {
    expect(['alpine', 'nod24', 'python3.13'].filter(isExplicitReference)).toEqual([]);
    expect(['alpine:3', 'a/b', `a@${DIGEST}`].filter(isExplicitReference)).toHaveLength(3);
  });
});

describe('the rules for images', () => {
  it.each([
    ['python', 'python:3.13', true],
    ['python', 'python-tools:1', false],
    ['python', 'team/python:1', false],
    ['python:3.13', 'python:3.13', true],
    ['python:3.13', 'python:3.12', false],
    ['registry.example', 'registry.example/team/app:1', true],
    ['registry.example', 'registry.example.evil/team/app:1', false],
    ['registry.example', 'registry.example:5000/app:1', false],
    ['registry.example:5000', 'registry.example:5000/app:1', true],
    ['registry.example/team', 'registry.example/team/app:1', true],
    ['registry.example/team', 'registry.example/teamwork:1', false],
    ['localhost:5000', `localhost:5000/app@${DIGEST}`, true],
    [`app@${DIGEST}`, `app@${DIGEST}`, true],
    [`app@${DIGEST}`, `app:1@${DIGEST}`, true],
    // The tag is what an agent claims of the digest.
    ['app:1', `app:1@${DIGEST}`, false],
  ])('%s: %s is allowed: %j', (rule, image, allowed) => {
    const rules = new ImageRules([rule]);
    const reference = requireReference(image);
    expect(rules.isListed(reference)).toBe(allowed);
    if (allowed) rules.require(reference);
    else expect(() => rules.require(reference)).toThrow(expect.objectContaining({ code: 'permission' }));
  });

  it('allow everything if there are none, and nothing if the list is empty', () => {
    const rules = new ImageRules(null);
    rules.require(requireReference('registry.example/app'));
    expect(rules.isListed(requireReference('registry.example/app'))).toBe(false);
    for (const text of ['a b', '', 'A', 'http://registry.example'])
      expect(() => new ImageRules([text])).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });
});

describe('the name of a runtime', () => {
  it('stands for an official image, unless the operator chose another', () => {
    const own = new Map([
      ['python3.13', 'registry.example/python:3.13'],
      ['tools', 'registry.example/tools:1'],
    ]);
    expect(imageOfRuntime('python3.13', own)).toBe('registry.example/python:3.13');
    expect(imageOfRuntime('tools', own)).toBe('registry.example/tools:1');
    expect(imageOfRuntime('alpine:3', own)).toBe('alpine:3');
    expect(imageOfRuntime('alpine', own)).toBeNull();
    expect(imageOfRuntime('constructor', own)).toBeNull();
  });

  it.each([
    ...['node20', 'node22', 'node24', 'node26'],
    ...['python3.10', 'python3.11', 'python3.12', 'python3.13', 'python3.14'],
  ])('%s stands for an image of that version, pinned by its digest', (name) => {
    const image = imageOfRuntime(name, NONE) ?? '';
    const [, program = '', version = ''] = /^([a-z]+)(.+)$/.exec(name) ?? [];
    const { repository, tag, digest } = requireReference(image);
    expect(repository).toBe(`library/${program}`);
    expect(tag).toMatch(new RegExp(`^${version.replace('.', '\\.')}\\.[\\d.]+-.*bookworm`));
    expect(digest).not.toBeNull();
    // What a record of the pulled image leads back to.
    const canonical = canonicalReference(requireReference(image));
    expect(runtimeOfImage(canonical, NONE)).toBe(name);
    expect(shownReference(canonical, NONE)).toBe(image);
    const own = new Map([[name, 'registry.example/own:1']]);
    expect(runtimeOfImage(canonical, own)).toBeNull();
  });

  it('of another version stands for an official image by its tag', () => {
    expect(imageOfRuntime('python3.9', NONE)).toBe('python:3.9-slim-bookworm');
    expect(imageOfRuntime('node23', NONE)).toBe('node:23-bookworm-slim');
    expect(runtimeOfImage(canonicalReference(requireReference('python:3.9-slim-bookworm')), NONE)).toBeNull();
    expect(shownReference(`registry.example/app@${DIGEST}`, NONE)).toBe(`registry.example/app@${DIGEST}`);
  });
});

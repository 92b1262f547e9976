/** Credentials where Docker and Podman keep them. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseChallenge } from '../../../src/images/registry/challenge.ts';
import { findCredentials } from '../../../src/images/registry/credentials.ts';
import { DEFAULT_REGISTRY_KEYS } from '../../../src/images/registry/default-registry.ts';
import { requireReference } from '../../../src/images/registry/reference.ts';

const encode = (text: string) => Buffer.from(text).toString('base64');
const basic = (username: string, password: string) => ({ kind: 'basic', username, password });

let folder: string;
let path: string | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'auth-'));
  path = process.env['PATH'];
});

afterEach(async () => {
  process.env['PATH'] = path;
  await rm(folder, { recursive: true, force: true });
});

async function find(image: string, ...files: unknown[]) {
  const paths = await Promise.all(
    files.map(async (content, at) => {
      const file = join(folder, `${at}.json`);
      if (content !== null)
        await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
      return file;
    }),
  );
  return findCredentials(paths, requireReference(image));
}

describe('credentials', () => {
  it('are those of the most specific path', async () => {
    const auths = {
      'registry.example': { auth: encode('all:1') },
      'registry.example/team': { auth: encode('team:with:colons') },
      'registry.example/team/other': { auth: encode('other:3') },
    };
    expect(await find('registry.example/team/app', { auths })).toEqual(basic('team', 'with:colons'));
    expect(await find('registry.example/app', { auths })).toEqual(basic('all', '1'));
    expect(await find('other.example/app', { auths })).toBeNull();
  });

  it('are found by the keys that Docker writes, in the first file that has them', async () => {
    const hub = { auths: { [DEFAULT_REGISTRY_KEYS[1] ?? '']: { auth: encode('me:hub') } } };
    expect(await find('python:3', null, {}, hub)).toEqual(basic('me', 'hub'));
    const old = { auths: { 'https://registry.example/v1/': { identitytoken: 'refresh' } } };
    const later = { auths: { 'registry.example': { auth: encode('later:1') } } };
    expect(await find('registry.example/app', old, later)).toEqual({ kind: 'identity', token: 'refresh' });
  });

  it('are requested from credential helpers', async () => {
    const helper = join(folder, 'docker-credential-test');
    const script = `#!/bin/sh\nread -r asked\n[ "$1 $asked" = "get registry.example" ] || { echo not found; exit 1; }\necho '{"Username":"me","Secret":"helped"}'\n`;
    await writeFile(helper, script);
    await chmod(helper, 0o755);
    process.env['PATH'] = `${folder}${delimiter}${path}`;
    const helped = { credHelpers: { 'registry.example': 'test' } };
    expect(await find('registry.example/app', helped)).toEqual(basic('me', 'helped'));
    expect(await find('registry.example/app', { credsStore: 'test' })).toEqual(basic('me', 'helped'));
    expect(await find('other.example/app', { credsStore: 'test' })).toBeNull();
    expect(await find('registry.example/app', { credsStore: '../test' })).toBeNull();
    await expect(find('registry.example/app', { credsStore: 'missing' })).rejects.toMatchObject({
      code: 'auth',
      message: expect.stringContaining('docker-credential-missing'),
    });
  });

  it('of a damaged file are an error, not nothing', async () => {
    await expect(find('registry.example/app', '{')).rejects.toMatchObject({ code: 'auth' });
  });
});

describe('a challenge', () => {
  it.each([
    ['Basic realm="x"', 'basic', { realm: 'x' }],
    [
      'Bearer realm="http://a/t",service=s,scope="repository:a/b:pull,push"',
      'bearer',
      { realm: 'http://a/t', service: 's', scope: 'repository:a/b:pull,push' },
    ],
    ['bearer realm="a\\"b"', 'bearer', { realm: 'a"b' }],
    ['Bearer', 'bearer', {}],
  ])('%s is understood', (header, scheme, parameters) => {
    const challenge = parseChallenge(header);
    expect(challenge?.scheme).toBe(scheme);
    expect(Object.fromEntries(challenge?.parameters ?? [])).toEqual(parameters);
  });

  it('is answered with a token if there is a choice, and not at all if it is unknown', () => {
    expect(parseChallenge(['Basic realm="x"', 'Bearer realm="y"'])?.scheme).toBe('bearer');
    expect(parseChallenge('Negotiate')).toBeNull();
    expect(parseChallenge(undefined)).toBeNull();
  });
});

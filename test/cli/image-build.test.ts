import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planBuild } from '../../src/cli/image-build/build-plan.ts';
import { BUILDERS, findBuilder } from '../../src/cli/image-build/builders.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, dirname(name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

describe('the builder of an image', () => {
  it('is buildah, or Docker with BuildKit where there is no buildah', async () => {
    await expect(findBuilder([folder])).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('sandbox_snapshot'),
    });
    await write({ 'b/docker': '', 'a/buildah': '' });
    const path = ['b', 'a'].map((name) => join(folder, name));
    await expect(findBuilder(path)).rejects.toThrow('Neither');
    await chmod(join(folder, 'b/docker'), 0o755);
    expect(await findBuilder(path)).toMatchObject({
      program: 'docker',
      command: ['env', 'DOCKER_BUILDKIT=1', 'docker'],
    });
    await chmod(join(folder, 'a/buildah'), 0o755);
    expect(await findBuilder(path)).toMatchObject({ program: 'buildah' });
  });
});

describe('the plan of an image', () => {
  it('is the Dockerfile of the folder, which comes before a devcontainer', async () => {
    await write({ Dockerfile: 'FROM scratch', '.devcontainer/devcontainer.json': 'ignored' });
    expect(await planBuild(folder)).toEqual({
      dockerfile: join(folder, 'Dockerfile'),
      image: null,
      context: folder,
      args: {},
      target: null,
      ignored: [],
    });
  });

  it('is what a devcontainer says, with paths relative to its file', async () => {
    await write({
      '.devcontainer/devcontainer.json': `{
        // Comments and trailing commas are allowed.
        "name": "Tools",
        "build": { "dockerfile": "Dockerfile.dev", "context": "..", "args": { "VERSION": "--1" }, "target": "dev" },
        "features": {},
        "postCreateCommand": "make",
      }`,
    });
    const plan = await planBuild(folder);
    expect(plan).toEqual({
      dockerfile: join(folder, '.devcontainer/Dockerfile.dev'),
      image: null,
      context: folder,
      args: { VERSION: '--1' },
      target: 'dev',
      ignored: ['features', 'postCreateCommand'],
    });
    const options = ['--iidfile', '/w/id', '--file', '/w/Dockerfile', '--build-arg', 'VERSION=--1'];
    expect(BUILDERS.map(({ build }) => build(plan, '/w/Dockerfile', '/w/id'))).toEqual([
      ['build', '--layers', '--format', 'oci', ...options, '--target', 'dev', '--', folder],
      ['build', ...options, '--target', 'dev', '--', folder],
    ]);
  });

  it('is the image that a devcontainer names', async () => {
    await write({ '.devcontainer.json': '{"image": "registry.example/dev:1"}' });
    expect(await planBuild(folder)).toMatchObject({ dockerfile: null, image: 'registry.example/dev:1' });
  });

  it.each([
    ['{"dockerComposeFile": "compose.yml"}', 'it describes several containers'],
    ['{}', 'it describes no image, or two'],
    ['{"image": "a", "build": {"dockerfile": "b"}}', 'it describes no image, or two'],
    ['{"image": 1}', 'expected string'],
    ['{', 'CloseBraceExpected'],
  ])('is refused for %s', async (text, problem) => {
    await write({ 'devcontainer.json': text });
    await expect(planBuild(folder)).rejects.toThrow(problem);
  });

  it('needs a file', async () => {
    await expect(planBuild(folder)).rejects.toThrow('has no file that says how to build an image');
  });
});

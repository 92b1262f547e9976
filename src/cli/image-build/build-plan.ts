/** What to build in a folder: its Dockerfile, or what its devcontainer.json says. */
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type ParseError, parse, printParseErrorCode } from 'jsonc-parser';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';

export interface BuildPlan {
  /** The Dockerfile; null for one that only names `image`. */
  dockerfile: string | null;
  image: string | null;
  context: string;
  args: Record<string, string>;
  target: string | null;
  /** Settings of devcontainer.json that have no effect on an image. */
  ignored: string[];
}

/** Where a folder may say how to build it, in this order. */
const DOCKERFILES = ['Dockerfile', 'Containerfile'];
const DEVCONTAINERS = ['.devcontainer/devcontainer.json', '.devcontainer.json', 'devcontainer.json'];

const devcontainer = z.looseObject({
  image: z.string().min(1).optional(),
  dockerFile: z.string().min(1).optional(),
  context: z.string().min(1).optional(),
  build: z
    .looseObject({
      dockerfile: z.string().min(1).optional(),
      context: z.string().min(1).optional(),
      args: z.record(z.string().regex(/^[^=]+$/), z.string()).optional(),
      target: z.string().min(1).optional(),
    })
    .optional(),
});
/** Names of a devcontainer, or settings of the editor, that need no mention. */
const UNREMARKABLE = ['$schema', 'name', 'image', 'build', 'dockerFile', 'context', 'customizations'];

/** @throws SandboxError `not_found` or `invalid_argument`, naming the file */
export async function planBuild(directory: string): Promise<BuildPlan> {
  for (const name of DOCKERFILES) {
    const dockerfile = join(directory, name);
    if ((await textOf(dockerfile)) !== null)
      return { dockerfile, image: null, context: directory, args: {}, target: null, ignored: [] };
  }
  for (const name of DEVCONTAINERS) {
    const path = join(directory, name);
    const text = await textOf(path);
    if (text !== null) return planOf(path, text);
  }
  throw new SandboxError('not_found', `${directory} has no file that says how to build an image.`, {
    hint: `It needs one of ${[...DOCKERFILES, ...DEVCONTAINERS].join(', ')}.`,
  });
}

function planOf(path: string, text: string): BuildPlan {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  const [error] = errors;
  if (error !== undefined) throw unusable(path, printParseErrorCode(error.error));
  const parsed = devcontainer.safeParse(value);
  if (!parsed.success) throw unusable(path, z.prettifyError(parsed.error).replaceAll('\n', ' '));
  const { image, build = {}, ...settings } = parsed.data;
  const dockerfile = build.dockerfile ?? settings.dockerFile;
  if ((image === undefined) === (dockerfile === undefined)) {
    const problem = 'dockerComposeFile' in settings ? 'several containers' : 'no image, or two';
    throw unusable(path, `it describes ${problem}; it needs either \`image\` or \`build.dockerfile\``);
  }
  // Both are relative to the file, as its specification says.
  const folder = dirname(path);
  return {
    dockerfile: dockerfile === undefined ? null : resolve(folder, dockerfile),
    image: image ?? null,
    context: resolve(folder, build.context ?? settings.context ?? '.'),
    args: build.args ?? {},
    target: build.target ?? null,
    ignored: Object.keys(settings).filter((name) => !UNREMARKABLE.includes(name)),
  };
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return null;
    throw new SandboxError('permission', `${path} cannot be read.`, {
      hint: 'Make it readable for this user, then run this again.',
      cause: error,
    });
  }
}

function unusable(path: string, problem: string): SandboxError {
  return new SandboxError('invalid_argument', `${path} cannot be used: ${problem}.`, {
    hint: 'Correct it, or write a Dockerfile, which comes first.',
  });
}

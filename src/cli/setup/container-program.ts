/** Finds a program that runs containers, and lets it pull an image. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A program that waits for a daemon which does not answer must not hold up `setup`. */
const ANSWER_MS = 10_000;

export interface ContainerProgram {
  /** Absolute: a desktop application does not have the `PATH` of a shell. */
  readonly path: string;
  /** Docker Desktop, OrbStack and colima bring `docker`; the package podman-docker brings Podman under that name. */
  readonly kind: 'docker' | 'podman';
}

/** Null if there is none in these directories; `docker` is preferred. */
export async function findContainerProgram(
  directories: readonly string[],
  platform: NodeJS.Platform,
): Promise<ContainerProgram | null> {
  for (const name of ['docker', 'podman'] as const) {
    for (const directory of directories) {
      const path = join(directory, platform === 'win32' ? `${name}.exe` : name);
      if (!(await isExecutable(path))) continue;
      return { path, kind: name === 'podman' || (await isPodman(path)) ? 'podman' : 'docker' };
    }
  }
  return null;
}

/**
 * Pulls the image unless it is there: a client gives a server seconds to start, and often no `PATH` with the program
 * that knows the registry's password. What goes wrong is a warning with the command to run.
 */
export async function pullImage(
  { path }: ContainerProgram,
  image: string,
  say: (text: string) => void,
): Promise<void> {
  if ((await outputOf(path, ['image', 'inspect', image])) !== null) return;
  say(`Pulling ${image}\n`);
  const problem = await pull(path, image);
  if (problem !== null)
    say(
      `The image was not pulled: ${problem}. Run this before you start a client:\n  ${path} pull ${image}\n`,
    );
}

/** What went wrong; null if nothing did. */
async function pull(path: string, image: string): Promise<string | null> {
  try {
    const child = spawn(path, ['pull', image], { stdio: ['ignore', 2, 2] });
    const [code, signal] = await once(child, 'close');
    return code === 0 ? null : `pull ended with ${code ?? signal}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function isPodman(path: string): Promise<boolean> {
  return /podman/i.test((await outputOf(path, ['--version'])) ?? '');
}

/** Null if the program fails or does not answer. */
async function outputOf(path: string, args: string[]): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(path, args, { timeout: ANSWER_MS });
    return stdout;
  } catch {
    return null;
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

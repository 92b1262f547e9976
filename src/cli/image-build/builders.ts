/** The programs that build images: buildah(1), which needs no daemon, and Docker with BuildKit. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '../../shared/errors.ts';
import type { BuildPlan } from './build-plan.ts';

export interface Builder {
  readonly program: 'buildah' | 'docker';
  /** Starts it. */
  readonly command: readonly [string, ...string[]];
  /** Builds, and writes the image's id to `idFile`. A value never becomes an option: each follows one of its own. */
  build(plan: BuildPlan, dockerfile: string, idFile: string): string[];
  /** Writes the image to an archive. */
  save(id: string, archive: string): string[];
  /** The hint for when it fails. */
  readonly hint: string;
}

/** The options that both have. */
function planArguments(plan: BuildPlan, dockerfile: string, idFile: string): string[] {
  return [
    ...['--iidfile', idFile],
    ...['--file', dockerfile],
    ...Object.entries(plan.args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...(plan.target === null ? [] : ['--target', plan.target]),
    '--',
    plan.context,
  ];
}

const BUILDAH: Builder = {
  program: 'buildah',
  command: ['buildah'],
  build: (plan, dockerfile, idFile) => [
    ...['build', '--layers', '--format', 'oci'],
    ...planArguments(plan, dockerfile, idFile),
  ],
  save: (id, archive) => ['push', '--', id.replace(/^sha256:/, ''), `oci-archive:${archive}`],
  hint: 'As an ordinary user buildah needs lines in /etc/subuid and /etc/subgid.',
};

const DOCKER: Builder = {
  program: 'docker',
  // The default since Docker 23.
  command: ['env', 'DOCKER_BUILDKIT=1', 'docker'],
  build: (plan, dockerfile, idFile) => ['build', ...planArguments(plan, dockerfile, idFile)],
  save: (id, archive) => ['save', '--output', archive, '--', id],
  hint: 'Docker needs its daemon, and a user who may use it.',
};

/** In order of preference. */
export const BUILDERS: readonly Builder[] = [BUILDAH, DOCKER];

/** The first builder in these directories. @throws `unavailable` */
export async function findBuilder(directories: readonly string[]): Promise<Builder> {
  for (const builder of BUILDERS) {
    for (const directory of directories)
      if (await isExecutable(join(directory, builder.program))) return builder;
  }
  throw new SandboxError(
    'unavailable',
    'Neither buildah nor docker is installed; one of them builds the image.',
    {
      hint: 'Install buildah, which needs no daemon (Debian, Ubuntu, Fedora: the package buildah). Without it, set up a sandbox with commands and call sandbox_snapshot with a name.',
    },
  );
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

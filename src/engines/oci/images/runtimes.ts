/** Resolves a runtime: the host's programs, an image, or a Node release that is downloaded. */
import { existsSync, realpathSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { nodeMajor } from '../../../images/image-name.ts';
import type { ImageRecord } from '../../../images/image-record.ts';
import type { PullStep } from '../../../images/pull-image.ts';
import { requireReference } from '../../../images/registry/reference.ts';
import { imageOfRuntime, runtimeOfImage } from '../../../images/registry/runtime-images.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { Runtimes } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { runHostProgram } from '../host/host-program.ts';

/** The host's root file system, whatever it contains. */
export const DEFAULT_RUNTIME = 'host';

interface Probe {
  path: string;
  /** Of what `--version` prints; its group is the version of the runtime. */
  pattern: RegExp;
  /** The runtime without its version. */
  name: string;
}

const PROBES: readonly Probe[] = [
  { path: '/usr/bin/node', pattern: /^v(\d+)\./, name: 'node' },
  { path: '/usr/local/bin/node', pattern: /^v(\d+)\./, name: 'node' },
  { path: '/usr/bin/python3', pattern: /^Python (3\.\d+)/, name: 'python' },
];

/** A runtime's name, and its image, null for the host's files. */
export interface ResolvedRuntime {
  name: string;
  image: ImageRecord | null;
}

let found: Promise<string[]> | null = null;

async function probe(): Promise<string[]> {
  const runtimes = await Promise.all(PROBES.map(probeOne));
  return [...new Set([DEFAULT_RUNTIME, ...runtimes.filter((name) => name !== null)])];
}

/** Null if it is not installed. */
async function probeOne({ path, pattern, name }: Probe): Promise<string | null> {
  try {
    const program = await realpath(path);
    // A program that need not be started saves a busy machine a second.
    const version = versionByPath(program) ?? (await runHostProgram(path, ['--version'])).output;
    const match = pattern.exec(version);
    return match && `${name}${match[1]}`;
  } catch {
    return null;
  }
}

/** What `--version` prints, if it is the program of this process, or a Python with its version in its name. */
function versionByPath(program: string): string | null {
  if (program === realpathSync(process.execPath)) return process.version;
  const python = /\/python(3\.\d+)$/.exec(program)?.[1];
  return python === undefined ? null : `Python ${python}`;
}

/** The runtimes of the host: `host`, and by version `node20`, `python3.11`, … */
function hostRuntimes(): Promise<string[]> {
  found ??= probe();
  return found;
}

/** The installed runtimes, images included. */
async function availableRuntimes(context: OciContext): Promise<string[]> {
  const { runtimeImages } = context.imagePolicy;
  const images = (await (await context.host()).images.runtimes()).map((reference) => {
    const name = runtimeOfImage(reference, runtimeImages);
    return name === null || isNodeRelease(name, runtimeImages) ? reference : name;
  });
  return [...new Set([...(await hostRuntimes()), ...images])];
}

/** True for a name that leads to a Node release and to no image. */
function isNodeRelease(name: string, own: ReadonlyMap<string, string>): boolean {
  return nodeMajor(name) !== null && isGlibc() && !own.has(name);
}

/** The runtimes that a request can name. */
export async function ociRuntimes(context: OciContext): Promise<Runtimes> {
  const others = [
    ...(isGlibc() ? ['node22, node24, … from the npm registry'] : []),
    ...[...context.imagePolicy.runtimeImages].map(([name, image]) => `${name} (${image})`),
    context.imagePolicy.describe(),
  ];
  return { installed: await availableRuntimes(context), others: others.join('; ') };
}

async function withAvailable(context: OciContext, error: SandboxError): Promise<SandboxError> {
  const available = (await availableRuntimes(context)).join(', ');
  return new SandboxError(error.code, error.message, {
    hint: `Here already: ${available}. ${error.hint}`,
    details: { ...error.details, available },
    cause: error.cause,
  });
}

/** Errors of a download after which another runtime may do. */
const OTHER_RUNTIME_HELPS = ['invalid_argument', 'unavailable', 'timeout', 'not_found', 'auth', 'permission'];

async function orAvailable<T>(context: OciContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const helps = error instanceof SandboxError && OTHER_RUNTIME_HELPS.includes(error.code);
    throw helps ? await withAvailable(context, error) : error;
  }
}

/** Pulls the image that a name stands for, unless it is installed. */
async function pulledImage(
  context: OciContext,
  wanted: string,
  image: string,
  signal: AbortSignal,
  report: Report,
): Promise<ImageRecord> {
  // Loaded on demand: most sandboxes need no download.
  const { describeStep, ensurePulled } = await import('../../../images/pull-image.ts');
  const host = await context.host();
  const reference = requireReference(image);
  const request = context.imagePolicy.pullFor(
    reference,
    context.imagePolicy.runtimeImages.has(wanted),
    report === undefined ? null : (step: PullStep) => report(describeStep(reference, step)),
  );
  return ensurePulled(host.images, context.imagePolicy.registries, request, signal);
}

/** Shows a line of progress; absent if nobody watches. */
type Report = ((line: string) => void) | undefined;

/**
 * The image of that name, else the host's runtime, else the operator's image for that name, else the Node
 * release of that name, else the image that it refers to. The last three are downloaded on first use.
 *
 * @throws `invalid_argument` for an unknown runtime, `unavailable` if it cannot be downloaded; both list the
 *   installed ones
 */
export async function resolveRuntime(
  context: OciContext,
  wanted: string | null,
  signal: AbortSignal,
  report?: Report,
): Promise<ResolvedRuntime> {
  if (wanted === null || wanted === DEFAULT_RUNTIME) return { name: DEFAULT_RUNTIME, image: null };
  const host = await context.host();
  const image = await host.images.find(wanted);
  if (image !== null) return { name: wanted, image };
  if ((await hostRuntimes()).includes(wanted)) return { name: wanted, image: null };
  const { runtimeImages } = context.imagePolicy;
  if (isNodeRelease(wanted, runtimeImages)) {
    return orAvailable(context, async () => {
      // Loaded on demand: most sandboxes need no download.
      const { ensureNodeRuntime } = await import('../../../images/node-runtime.ts');
      return { name: wanted, image: await ensureNodeRuntime(host.images, context.npm, wanted, signal) };
    });
  }
  const named = imageOfRuntime(wanted, runtimeImages);
  if (named !== null) {
    return orAvailable(context, async () => ({
      name: wanted,
      image: await pulledImage(context, wanted, named, signal, report),
    }));
  }
  throw await withAvailable(
    context,
    new SandboxError(
      'invalid_argument',
      `Runtime ${JSON.stringify(wanted.slice(0, 64))} is not available here.`,
      {
        hint: 'Node releases are downloaded by name (node22, node24), images by reference with a tag (alpine:3).',
      },
    ),
  );
}

/** The glibc loaders that Node's releases need on the host. */
const LOADERS: Partial<Record<string, string>> = {
  x64: '/lib64/ld-linux-x86-64.so.2',
  arm64: '/lib/ld-linux-aarch64.so.1',
};

function isGlibc(): boolean {
  const loader = LOADERS[process.arch];
  return loader !== undefined && existsSync(loader);
}

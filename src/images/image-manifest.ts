/**
 * The documents of a container image (OCI image specification, Docker image manifest v2) and the choice by
 * platform.
 */
import { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { configuredArchitecture } from './architecture.ts';

const descriptorSchema = z.object({
  mediaType: z.string().optional(),
  size: z.number().int().nonnegative().optional(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  platform: z.object({ os: z.string().optional(), architecture: z.string().optional() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.output<typeof descriptorSchema>;

export const indexSchema = z.object({ manifests: z.array(descriptorSchema) });
export const manifestSchema = z.object({ config: descriptorSchema, layers: z.array(descriptorSchema) });
export const configSchema = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string()) }).optional(),
});

/** The error for an archive built for another architecture. */
export function wrongArchitecture(found: string, arch: string): SandboxError {
  return new SandboxError('unsupported', `The image is for ${found}; this machine is linux/${arch}.`, {
    hint: 'Use the image for this machine, e.g. with `docker pull --platform`.',
  });
}

/** Signatures and provenance of an image are listed next to it in its index. */
function isAttestation({ platform, annotations }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] !== undefined || platform?.architecture === 'unknown';
}

function isFor(arch: string, { platform }: Descriptor): boolean {
  if (platform?.architecture === undefined) return true;
  return (platform.os ?? 'linux') === 'linux' && configuredArchitecture(platform.architecture) === arch;
}

/** The manifests of an index for this architecture, in its order. @throws `unsupported` if there is none */
export function fittingManifests(
  manifests: readonly Descriptor[],
  arch: string,
): [Descriptor, ...Descriptor[]] {
  const images = manifests.filter((manifest) => !isAttestation(manifest));
  const [first, ...others] = images.filter((manifest) => isFor(arch, manifest));
  if (first !== undefined) return [first, ...others];
  const found = images.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).join(', ');
  throw wrongArchitecture(found || 'nothing', arch);
}

export function isIndex(mediaType: string | undefined): boolean {
  return /\.index\.|manifest\.list/.test(mediaType ?? '');
}

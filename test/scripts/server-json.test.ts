import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import packageJson from '../../package.json' with { type: 'json' };
import serverJson from '../../server.json' with { type: 'json' };
import { containerCommand } from '../../src/cli/setup/container-command.ts';
import { IMAGE_REPOSITORY } from '../../src/cli/setup-clients.ts';
import { FLAGS } from '../../src/config/flags.ts';

/**
 * What the registry's schema 2025-12-11 requires of the parts that the file uses, written by hand: no package
 * contains the schema itself, against which a release is validated.
 */
const input = z.strictObject({
  name: z.string(),
  type: z.literal('named').optional(),
  value: z.string().optional(),
  description: z.string(),
  format: z.enum(['string', 'number', 'boolean', 'filepath']).optional(),
  choices: z.array(z.string()).optional(),
  default: z.string().optional(),
  isRepeated: z.boolean().optional(),
  isSecret: z.boolean().optional(),
  variables: z
    .record(
      z.string(),
      // Without it, a client may start a container with an empty path, which Docker refuses.
      z.strictObject({ description: z.string(), format: z.literal('filepath'), isRequired: z.literal(true) }),
    )
    .optional(),
});
const argument = input.required({ type: true });
const transport = z.strictObject({ type: z.literal('stdio') });
const npmPackage = z.strictObject({
  registryType: z.literal('npm'),
  identifier: z.string(),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  runtimeHint: z.literal('npx'),
  transport,
  packageArguments: z.array(argument),
  environmentVariables: z.array(input),
});
/** Its tag is the version, so that the schema's `version` is left out. */
const ociPackage = z.strictObject({
  registryType: z.literal('oci'),
  identifier: z.string().regex(/^[a-z0-9.-]+(\/[a-z0-9-]+)+:\d+\.\d+\.\d+$/),
  runtimeHint: z.literal('docker'),
  transport,
  runtimeArguments: z.array(argument),
  environmentVariables: z.array(input),
});
const registryEntry = z.strictObject({
  $schema: z.literal('https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json'),
  name: z
    .string()
    .max(200)
    .regex(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/),
  title: z.string().min(1).max(100),
  description: z.string().min(1).max(100),
  version: z.string().max(255),
  repository: z.strictObject({ url: z.url(), source: z.literal('github') }),
  packages: z.tuple([npmPackage, ociPackage]),
});

describe('server.json', () => {
  const entry = registryEntry.parse(serverJson);
  const [npm, oci] = entry.packages;

  it('describes this package in this version', () => {
    expect(entry.name).toBe(packageJson.mcpName);
    expect(entry.version).toBe(packageJson.version);
    expect(packageJson.repository.url).toBe(`git+${entry.repository.url}.git`);
    expect([npm.identifier, npm.version]).toEqual([packageJson.name, packageJson.version]);
    expect(oci.identifier).toBe(`${IMAGE_REPOSITORY}:${packageJson.version}`);
  });

  it('offers flags that exist', () => {
    const flags = FLAGS.map(({ name }) => `--${name}`);
    expect(npm.packageArguments.length).toBeGreaterThan(0);
    for (const { name } of npm.packageArguments) expect(flags).toContain(name);
  });

  it('starts a container with the privileges and the volume that setup gives it', () => {
    const given = oci.runtimeArguments.map(({ name, value }) => `${name}=${value}`);
    const program = { path: 'docker', kind: 'docker' } as const;
    const server = { image: 'image', volume: 'sandbox-mcp', folders: [], flags: [] };
    const { args } = containerCommand(program, server, 'linux');
    expect(given.slice(0, -1)).toEqual(args.slice(3, -1));
  });

  it('marks tokens as secrets', () => {
    const tokens = npm.environmentVariables.filter(({ name }) => name.endsWith('_TOKEN'));
    expect(tokens.length).toBeGreaterThan(0);
    for (const token of tokens) expect(token).toMatchObject({ isSecret: true });
    expect(oci.environmentVariables).toEqual(npm.environmentVariables);
  });
});

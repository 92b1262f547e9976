import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import packageJson from '../../package.json' with { type: 'json' };
import serverJson from '../../server.json' with { type: 'json' };
import { FLAGS } from '../../src/config/flags.ts';

/** What the registry's schema 2025-12-11 requires of the parts that the file uses. */
const input = z.strictObject({
  name: z.string(),
  type: z.literal('named').optional(),
  description: z.string(),
  format: z.enum(['string', 'number', 'boolean', 'filepath']).optional(),
  choices: z.array(z.string()).optional(),
  default: z.string().optional(),
  isRepeated: z.boolean().optional(),
  isSecret: z.boolean().optional(),
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
  packages: z.array(
    z.strictObject({
      registryType: z.literal('npm'),
      identifier: z.string(),
      version: z.string().regex(/^\d+\.\d+\.\d+$/),
      runtimeHint: z.literal('npx'),
      transport: z.strictObject({ type: z.literal('stdio') }),
      packageArguments: z.array(input.required({ type: true })),
      environmentVariables: z.array(input),
    }),
  ),
});

describe('server.json', () => {
  const entry = registryEntry.parse(serverJson);

  it('describes this package in this version', () => {
    expect(entry.name).toBe(packageJson.mcpName);
    expect(entry.version).toBe(packageJson.version);
    expect(packageJson.repository.url).toBe(`git+${entry.repository.url}.git`);
    expect(entry.packages.map(({ identifier, version }) => [identifier, version])).toEqual([
      [packageJson.name, packageJson.version],
    ]);
  });

  it('offers flags that exist', () => {
    const flags = FLAGS.map(({ name }) => `--${name}`);
    const [npm] = entry.packages;
    expect(npm?.packageArguments.length).toBeGreaterThan(0);
    for (const { name } of npm?.packageArguments ?? []) expect(flags).toContain(name);
  });

  it('marks tokens as secrets', () => {
    const variables = entry.packages.flatMap(({ environmentVariables }) => environmentVariables);
    const tokens = variables.filter(({ name }) => name.endsWith('_TOKEN'));
    expect(tokens.length).toBeGreaterThan(0);
    for (const token of tokens) expect(token).toMatchObject({ isSecret: true });
  });
});

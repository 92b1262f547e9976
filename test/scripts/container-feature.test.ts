/** The dev container feature, by the rules of containers.dev/implementors/features. */
import { execFileSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import feature from '../../container/feature/sandbox-mcp/devcontainer-feature.json' with { type: 'json' };
import packageJson from '../../package.json' with { type: 'json' };
import { PRIVILEGES } from '../../src/cli/setup/container-command.ts';

const FOLDER = join(import.meta.dirname, '../../container/feature/sandbox-mcp');

/** What the specification says about the parts that the file uses. */
const schema = z.strictObject({
  id: z.string().regex(/^[a-z][a-z0-9-]*$/),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  name: z.string().min(1),
  description: z.string().min(1),
  documentationURL: z.url(),
  options: z.record(
    z.string(),
    z.strictObject({
      type: z.literal('string'),
      proposals: z.array(z.string()),
      default: z.string(),
      description: z.string(),
    }),
  ),
  installsAfter: z.array(z.string()),
  containerEnv: z.record(z.string(), z.string()),
  securityOpt: z.array(z.string()),
  mounts: z.array(z.strictObject({ source: z.string(), target: z.string(), type: z.literal('volume') })),
});

describe('the dev container feature', () => {
  it('is described as the specification says, in the folder of its id', () => {
    expect(schema.parse(feature).id).toBe(basename(FOLDER));
    expect(basename(dirname(FOLDER))).toBe('feature');
    expect(feature.version).toBe(packageJson.version);
  });

  it('asks for the options with which the container image runs', () => {
    const options = PRIVILEGES.flatMap((one) => one.split('--security-opt=')[1] ?? []);
    expect(feature.securityOpt).toEqual(options);
  });

  it('keeps the state in its volume', () => {
    expect(feature.mounts.map(({ target }) => target)).toEqual([feature.containerEnv.SANDBOX_MCP_STATE_DIR]);
  });

  it('refuses root, for whom sandboxes would not work', () => {
    const env = { PATH: process.env['PATH'] ?? '', _REMOTE_USER: 'root' };
    const install = () => execFileSync(join(FOLDER, 'install.sh'), { env, stdio: 'pipe' });
    expect(install).toThrow(/apt|remoteUser/);
  });
});

/** The dev container feature, by the rules of containers.dev/implementors/features. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import feature from '../../container/feature/sandbox-mcp/devcontainer-feature.json' with { type: 'json' };
import packageJson from '../../package.json' with { type: 'json' };
import { PRIVILEGES } from '../../src/cli/setup/container-command.ts';
import { IMAGE_REPOSITORY } from '../../src/cli/setup-clients.ts';

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
    const { SANDBOX_MCP_STATE_DIR: directory } = feature.containerEnv;
    expect(feature.mounts.map(({ target }) => target)).toEqual([dirname(directory)]);
  });

  it('lets the server create its directory in the volume, whatever the id of its user becomes', () => {
    const [mount] = feature.mounts;
    const install = readFileSync(join(FOLDER, 'install.sh'), 'utf8');
    expect(install).toContain(`install -d -m 1777 -o root -g root ${mount?.target}\n`);
  });

  it('is published apart from the image, whose tag `latest` the list of features would replace', () => {
    const workflow = readFileSync(join(FOLDER, '../../../.github/workflows/release.yml'), 'utf8');
    const [, namespace = ''] = workflow.match(/features publish \S+ --namespace (\S+)/) ?? [];
    expect(namespace).not.toBe('');
    expect(`ghcr.io/${namespace}`).not.toBe(IMAGE_REPOSITORY);
    const page = readFileSync(join(FOLDER, '../../../docs/ci.md'), 'utf8');
    expect(page).toContain(`"ghcr.io/${namespace}/${feature.id}:0"`);
  });

  it('refuses root, for whom sandboxes would not work', () => {
    const env = { PATH: process.env['PATH'] ?? '', _REMOTE_USER: 'root' };
    const install = () => execFileSync(join(FOLDER, 'install.sh'), { env, stdio: 'pipe' });
    expect(install).toThrow(/apt|remoteUser/);
  });
});

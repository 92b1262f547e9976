/** The workflow that publishes a version: what it runs is pinned, and what it publishes has a provenance. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

const WORKFLOWS = join(import.meta.dirname, '../../.github/workflows');
const release = readFileSync(join(WORKFLOWS, 'release.yml'), 'utf8');
const lines = release.split('\n').filter((line) => !line.trim().startsWith('#'));
/** The lines of each job, by its name. */
const jobs = new Map<string, string>();
for (const part of release
  .slice(release.indexOf('\njobs:\n'))
  .split(/\n(?= {2}\w+:\n)/)
  .slice(1)) {
  const [head = '', ...rest] = part.split('\n');
  jobs.set(head.trim().replace(':', ''), rest.join('\n'));
}

describe('the release workflow', () => {
  it('runs actions by their commit alone, since tags can be moved', () => {
    const actions = lines.filter((line) => line.includes('uses:'));
    expect(actions.length).toBeGreaterThan(5);
    expect(actions.filter((line) => !/@[0-9a-f]{40} # v[\d.]+$/.test(line))).toEqual([]);
  });

  it('publishes the package and the image with provenance, and without a stored token', () => {
    expect(jobs.get('publish')).toMatch(/npm publish --provenance --access public /);
    expect(jobs.get('image')).toMatch(/--provenance=mode=max --push/);
    for (const name of ['publish', 'image']) {
      const job = jobs.get(name) ?? '';
      expect(job).toContain('actions/attest-build-provenance@');
      expect(job).toMatch(/permissions:\n(?: {6}.*\n)*? {6}id-token: write\n/);
    }
    expect(lines.filter((line) => line.includes('secrets.'))).toEqual([]);
  });

  it('publishes only after all checks, of the tag that names the version, and a reviewer', () => {
    expect(jobs.get('build')).toContain('.ci/run');
    expect(jobs.get('build')).toContain('"v$(node -p "require(\'./$file\').version")" = "$GITHUB_REF_NAME"');
    const publishing = [...jobs].filter(([name]) => name !== 'build');
    expect(publishing.map(([name]) => name)).toEqual(['image', 'publish', 'feature', 'registry']);
    for (const [name, job] of publishing) {
      expect(job, name).toMatch(/^ {4}needs: (build|image|publish)$/m);
      expect(job, name).toMatch(/^ {4}environment: release$/m);
    }
  });

  it('is the only way to publish', () => {
    const others = readdirSync(WORKFLOWS).filter((name) => name !== 'release.yml');
    const texts = others.map((name) => readFileSync(join(WORKFLOWS, name), 'utf8'));
    expect([...texts, ...Object.values<string>(packageJson.scripts)].join('\n')).not.toMatch(
      /npm publish|--push/,
    );
  });
});

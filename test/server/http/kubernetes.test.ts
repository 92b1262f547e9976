/** The Kubernetes manifests in docs/deploy.md, by the schemas that Kubernetes publishes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { Secret } from 'kubernetes-models/v1/Secret';
import { Service } from 'kubernetes-models/v1/Service';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import packageJson from '../../../package.json' with { type: 'json' };
import { IMAGE_REPOSITORY } from '../../../src/cli/setup-clients.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { FLAGS, type FlagName } from '../../../src/config/flags.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '../../../docs/deploy.md'), 'utf8');
const [, BLOCK = ''] = /```yaml\n(.*?)```/s.exec(GUIDE) ?? [];
const KINDS = { Deployment, Ingress, PersistentVolumeClaim, Secret, Service };

const Manifest = z.looseObject({
  kind: z.enum(['Deployment', 'Ingress', 'PersistentVolumeClaim', 'Secret', 'Service']),
});
const manifests = parseAllDocuments(BLOCK).map((document) => {
  expect(document.errors).toEqual([]);
  return Manifest.parse(document.toJS());
});

function validate(manifest: z.infer<typeof Manifest>): void {
  // The schemas check what the types promise.
  const Model: new (data: object) => { validate(): void } = KINDS[manifest.kind];
  new Model(manifest).validate();
}

describe('the manifests', () => {
  it.each(manifests.map((manifest) => [manifest.kind, manifest] as const))(
    '%s is valid',
    (_kind, manifest) => {
      expect(() => validate(manifest)).not.toThrow();
    },
  );

  it('would be refused with a mistake', () => {
    const [deployment] = manifests.filter(({ kind }) => kind === 'Deployment');
    expect(() => validate({ ...deployment, kind: 'Deployment', spec: { replicas: 'one' } })).toThrow(
      'replicas',
    );
  });

  it('fit together, and start the server as it can be started', () => {
    const named = (kind: string) =>
      z
        .looseObject({ metadata: z.object({ name: z.string() }) })
        .parse(manifests.find((each) => each.kind === kind));
    const secret = z.looseObject({ stringData: z.record(z.string(), z.string()) }).parse(named('Secret'));
    const { spec } = z
      .looseObject({
        spec: z.looseObject({
          template: z.looseObject({
            metadata: z.object({ labels: z.record(z.string(), z.string()) }),
            spec: z.looseObject({
              terminationGracePeriodSeconds: z.number(),
              securityContext: z.looseObject({ runAsUser: z.number(), runAsGroup: z.number() }),
              containers: z.tuple([
                z.looseObject({
                  args: z.array(z.string()),
                  image: z.string(),
                  envFrom: z.tuple([z.object({ secretRef: z.object({ name: z.string() }) })]),
                  ports: z.tuple([z.object({ name: z.string(), containerPort: z.number() })]),
                }),
              ]),
            }),
          }),
        }),
      })
      .parse(named('Deployment'));
    const { containers, securityContext, terminationGracePeriodSeconds } = spec.template.spec;
    // The volume is writable for the group, which the server accepts only if it is the group of its user.
    expect(securityContext.runAsGroup).toBe(securityContext.runAsUser);
    const [{ args, image, envFrom, ports }] = containers;
    expect(image).toBe(`${IMAGE_REPOSITORY}:${packageJson.version}`);
    const given = new Map<FlagName, string[]>();
    for (const arg of args) {
      const [name, value = 'true'] = arg.slice(2).split('=');
      const flag = FLAGS.find((each) => each.name === name);
      expect(flag, arg).toBeDefined();
      if (flag !== undefined) given.set(flag.name, [value]);
    }
    const load = (env: Record<string, string>) =>
      loadConfig(given, { env, cwd: '/', homeDir: '/', isRoot: false });
    // Nobody who has read the page may know the tokens of a server that was started as it is there.
    expect(() => load(secret.stringData)).toThrow('SANDBOX_MCP_');
    const tokens = Object.entries(secret.stringData).map(([name, value]) => [
      name,
      value.replace('REPLACE', '0123456789abcdef'.repeat(4)),
    ]);
    const { http } = load(Object.fromEntries(tokens));
    expect(http).toMatchObject({
      host: '0.0.0.0',
      port: ports[0].containerPort,
      tokens: [{ principal: 'ann' }],
    });
    expect(http.metricsDigest).not.toBeNull();
    expect(envFrom[0].secretRef.name).toBe(named('Secret').metadata.name);
    expect(named('Service')).toMatchObject({
      spec: { selector: spec.template.metadata.labels, ports: [{ targetPort: ports[0].name }] },
    });
    // Ten seconds for running calls, and two for the end of all sessions.
    expect(terminationGracePeriodSeconds).toBeGreaterThan(12);
  });
});

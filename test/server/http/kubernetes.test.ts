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
              containers: z.tuple([
                z.looseObject({
                  args: z.array(z.string()),
                  envFrom: z.tuple([z.object({ secretRef: z.object({ name: z.string() }) })]),
                  ports: z.tuple([z.object({ name: z.string(), containerPort: z.number() })]),
                }),
              ]),
            }),
          }),
        }),
      })
      .parse(named('Deployment'));
    const { containers, terminationGracePeriodSeconds } = spec.template.spec;
    const [{ args, envFrom, ports }] = containers;
    const given = new Map<FlagName, string[]>();
    for (const arg of args) {
      const [name, value = 'true'] = arg.slice(2).split('=');
      const flag = FLAGS.find((each) => each.name === name);
      expect(flag, arg).toBeDefined();
      if (flag !== undefined) given.set(flag.name, [value]);
    }
    const { http } = loadConfig(given, { env: secret.stringData, cwd: '/', homeDir: '/', isRoot: false });
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

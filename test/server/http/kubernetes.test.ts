/** The Kubernetes manifests in docs/deploy.md, by the schemas that Kubernetes publishes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
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
/** For one replica, and what is added or replaced for several. */
const [ONE = '', SEVERAL = ''] = [...GUIDE.matchAll(/```yaml\n(.*?)```/gs)].map(([, block = '']) => block);
const KINDS = {
  Deployment,
  Ingress,
  NetworkPolicy,
  PersistentVolumeClaim,
  Secret,
  Service,
  StatefulSet,
};

const Manifest = z.looseObject({
  kind: z.enum([
    'Deployment',
    'Ingress',
    'NetworkPolicy',
    'PersistentVolumeClaim',
    'Secret',
    'Service',
    'StatefulSet',
  ]),
});
type Manifest = z.infer<typeof Manifest>;
const manifestsOf = (block: string): Manifest[] =>
  parseAllDocuments(block).map((document) => {
    expect(document.errors).toEqual([]);
    return Manifest.parse(document.toJS());
  });
const manifests = manifestsOf(ONE);
const several = manifestsOf(SEVERAL);
const Named = z.looseObject({ metadata: z.object({ name: z.string() }) });
const Pods = z.looseObject({
  replicas: z.number(),
  template: z.looseObject({
    metadata: z.object({ labels: z.record(z.string(), z.string()) }),
    spec: z.looseObject({
      terminationGracePeriodSeconds: z.number().optional(),
      securityContext: z.looseObject({ runAsUser: z.number(), runAsGroup: z.number() }),
      containers: z.tuple([
        z.looseObject({
          args: z.array(z.string()),
          image: z.string(),
          envFrom: z.array(z.object({ secretRef: z.object({ name: z.string() }) })).default([]),
          env: z
            .array(
              z.looseObject({
                name: z.string(),
                value: z.string().optional(),
                valueFrom: z
                  .looseObject({
                    fieldRef: z.object({ fieldPath: z.string() }).optional(),
                    secretKeyRef: z.object({ name: z.string(), key: z.string() }).optional(),
                  })
                  .optional(),
              }),
            )
            .default([]),
          ports: z.tuple([z.object({ name: z.string(), containerPort: z.number() })]),
        }),
      ]),
    }),
  }),
});
const Secrets = z.looseObject({ stringData: z.record(z.string(), z.string()) });

function named(among: readonly Manifest[], kind: Manifest['kind']): z.infer<typeof Named> {
  return Named.parse(among.find((each) => each.kind === kind));
}

function podsOf(among: readonly Manifest[], kind: 'Deployment' | 'StatefulSet'): z.infer<typeof Pods> {
  return z.looseObject({ spec: Pods }).parse(named(among, kind)).spec;
}

/** The configuration of a server with these arguments and variables. */
function load(args: readonly string[], env: Record<string, string>) {
  const given = new Map<FlagName, string[]>();
  for (const arg of args) {
    const [name, value = 'true'] = arg.slice(2).split('=');
    const flag = FLAGS.find((each) => each.name === name);
    expect(flag, arg).toBeDefined();
    if (flag !== undefined) given.set(flag.name, [value]);
  }
  return loadConfig(given, { env, cwd: '/', homeDir: '/', isRoot: false });
}

/** With the word replaced that everybody who reads the page knows. */
function filled(secret: Record<string, string>): Record<string, string> {
  const entries = Object.entries(secret);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value.replace('REPLACE', '0123456789abcdef'.repeat(4))]),
  );
}

function validate(manifest: z.infer<typeof Manifest>): void {
  // The schemas check what the types promise.
  const Model: new (data: object) => { validate(): void } = KINDS[manifest.kind];
  new Model(manifest).validate();
}

describe('the manifests', () => {
  it.each([...manifests, ...several].map((manifest) => [manifest.kind, manifest] as const))(
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
    const secret = Secrets.parse(named(manifests, 'Secret'));
    const spec = podsOf(manifests, 'Deployment');
    const { containers, securityContext, terminationGracePeriodSeconds } = spec.template.spec;
    // The volume is writable for the group, which the server accepts only if it is the group of its user.
    expect(securityContext.runAsGroup).toBe(securityContext.runAsUser);
    const [{ args, image, envFrom, ports }] = containers;
    expect(image).toBe(`${IMAGE_REPOSITORY}:${packageJson.version}`);
    // Nobody who has read the page may know the tokens of a server that was started as it is there.
    expect(() => load(args, secret.stringData)).toThrow('SANDBOX_MCP_');
    const { http } = load(args, filled(secret.stringData));
    expect(http).toMatchObject({
      host: '0.0.0.0',
      port: ports[0].containerPort,
      tokens: [{ principal: 'ann' }],
    });
    expect(http.metricsDigest).not.toBeNull();
    expect(envFrom).toEqual([{ secretRef: { name: named(manifests, 'Secret').metadata.name } }]);
    expect(named(manifests, 'Service')).toMatchObject({
      spec: { selector: spec.template.metadata.labels, ports: [{ targetPort: ports[0].name }] },
    });
    // Ten seconds for running calls, and two for the end of all sessions.
    expect(terminationGracePeriodSeconds).toBeGreaterThan(12);
  });

  it('for several replicas share a store, and name each replica by its own address', () => {
    const [one, spec, store] = [
      podsOf(manifests, 'Deployment'),
      podsOf(several, 'Deployment'),
      podsOf(several, 'StatefulSet'),
    ];
    const [{ env, ...container }] = spec.template.spec.containers;
    const [{ env: _, ...alone }] = one.template.spec.containers;
    // The Service, the Ingress and the Secret are the same.
    expect([named(several, 'Deployment').metadata, spec.template.metadata, container]).toEqual([
      named(manifests, 'Deployment').metadata,
      one.template.metadata,
      alone,
    ]);
    expect(spec.replicas).toBeGreaterThan(1);
    const { stringData } = Secrets.parse(named(several, 'Secret'));
    const known = new Map([['POD_IP', '10.1.2.3']]);
    for (const { name, value, valueFrom } of env) {
      const { secretKeyRef, fieldRef } = valueFrom ?? {};
      if (secretKeyRef !== undefined) {
        expect(secretKeyRef.name).toBe(named(several, 'Secret').metadata.name);
        known.set(name, filled(stringData)[secretKeyRef.key] ?? '');
      }
      if (fieldRef !== undefined) expect([name, fieldRef.fieldPath]).toEqual(['POD_IP', 'status.podIP']);
      // Kubernetes replaces the variables that come before.
      if (value !== undefined)
        known.set(
          name,
          value.replaceAll(/\$\((\w+)\)/g, (whole, variable: string) => known.get(variable) ?? whole),
        );
    }
    const given = {
      ...filled(Secrets.parse(named(manifests, 'Secret')).stringData),
      ...Object.fromEntries(known),
    };
    const { http } = load(container.args, given);
    const [{ ports }] = store.template.spec.containers;
    const host = named(several, 'Service').metadata.name;
    const password = filled(stringData)['password'];
    expect(http).toMatchObject({
      store: { kind: 'redis', url: `redis://:${password}@${host}:${ports[0].containerPort}/0` },
      replicaUrl: `http://10.1.2.3:${container.ports[0].containerPort}`,
    });
    expect(named(several, 'Service')).toMatchObject({
      spec: { selector: store.template.metadata.labels, ports: [{ targetPort: ports[0].name }] },
    });
    expect(named(several, 'NetworkPolicy')).toMatchObject({
      spec: {
        podSelector: { matchLabels: store.template.metadata.labels },
        ingress: [{ from: [{ podSelector: { matchLabels: spec.template.metadata.labels } }] }],
      },
    });
  });
});

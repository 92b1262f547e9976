/** What each engine has, as the engines themselves say. */
import type { Engine, NetworkPolicy } from '../../src/engines/engine.ts';
import { createOciEngine } from '../../src/engines/oci/index.ts';
import { createVercelEngine } from '../../src/engines/vercel/index.ts';
import { CAPABILITIES, capabilitiesOf } from '../../src/registry/session/capabilities.ts';
import { createLogger } from '../../src/shared/log.ts';
import { SecretStore } from '../../src/shared/secrets.ts';
import { table } from './markdown.ts';

/**
 * The comparison in docs/cloud.md. Nothing is started or asked: an engine does nothing before its first call.
 */
export function enginesTable(): string {
  const engines = [oci(), vercel()];
  const had = engines.map((engine) => new Set(capabilitiesOf(engine)));
  const rows = CAPABILITIES.map(({ name, text }) => [
    text,
    ...had.map((names) => (names.has(name) ? 'yes' : 'no')),
  ]);
  return table(['', ...engines.map(({ name }) => `\`${name}\``)], rows);
}

function oci(): Engine {
  return createOciEngine({
    stateDir: '/nonexistent',
    ociRuntime: 'auto',
    agentPath: '/nonexistent/agent',
    log: createLogger('silent'),
  });
}

function vercel(): Engine {
  const none = { oidcToken: null, token: null, teamId: null, projectId: null };
  return createVercelEngine({
    stateDir: '/nonexistent',
    apiUrl: null,
    environment: { ...none, tokenFile: null, tokenCommand: null, envFile: null },
    proxy: { http: null, https: null, no: null },
    secrets: new SecretStore(),
    readPolicy: (_policy: NetworkPolicy) => ({ evaluateName: () => ({ allowed: false, rule: '' }) }),
    log: createLogger('silent'),
  });
}

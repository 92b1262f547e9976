/** A server with secrets that trusts the CA of a `RuledWorld`, and one sandbox. */
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../support/server.ts';
import type { RuledWorld } from './ruled-world.ts';

/** Unique values. */
export const SECRETS = {
  TOKEN: 'tok-5f1c0e8a77d94b21',
  READABLE: 'open-3b9a6612fd',
} as const;

/** A reference to a secret. */
export const say = (name: string): string => `\${secret:${name}}`;

export interface RuledSandbox {
  readonly server: RunningServer;
  readonly sandboxId: string;
  setPolicy(policy: NetworkPolicy): Promise<void>;
  /** Runs a shell line and returns its output, including errors. */
  run(line: string, more?: { sudo?: boolean; env?: Record<string, string> }): Promise<string>;
  /** Runs a Python or Node script the same way. */
  script(program: 'python3' | 'node', text: string, more?: { sudo?: boolean }): Promise<string>;
  close(): Promise<void>;
}

/** The options to start a server in that world. */
export function ruledServer(world: RuledWorld): ServerOptions {
  return {
    args: ['--egress-dns', world.dns],
    env: {
      NODE_EXTRA_CA_CERTS: world.authorities,
      SANDBOX_MCP_SECRET_TOKEN: SECRETS.TOKEN,
      SANDBOX_MCP_SECRET_TOKEN_DOMAINS: 'api.test, *.api.test, self.test, wrong.test',
      SANDBOX_MCP_SECRET_READABLE: SECRETS.READABLE,
      SANDBOX_MCP_SECRET_READABLE_ENV: 'true',
    },
  };
}

/** For programs that the gateway must not keep waiting. Some take a minute on a busy machine. */
const TIMEOUT_MS = 300_000;

/** The `network_policy` argument of the tools. */
function argumentOf({ rules, ...policy }: NetworkPolicy): Record<string, unknown> {
  if (rules === undefined) return policy;
  return {
    ...policy,
    rules: rules.map(({ match, ...rule }) => {
      if (match === undefined) return rule;
      const { pathPrefix: path_prefix, pathRegex: path_regex, ...rest } = match;
      return { ...rule, match: { ...rest, path_prefix, path_regex } };
    }),
  };
}

export async function openRuledSandbox(world: RuledWorld, policy: NetworkPolicy): Promise<RuledSandbox> {
  const server = await startServer(ruledServer(world));
  const created = await server.call('sandbox_create', {
    timeout_ms: 600_000,
    resources: { vcpus: 1 },
    network_policy: argumentOf(policy),
  });
  if (created.isError) throw new Error(created.text);
  const execute = async (
    cmd: string,
    args: string[],
    more: { sudo?: boolean; env?: Record<string, string> },
  ) => {
    let answer = await server.call('sandbox_run_command', { cmd, args, timeout_ms: TIMEOUT_MS, ...more });
    while (answer.structured['status'] === 'running')
      answer = await server.call('command_wait', { command_id: answer.structured['command_id'] });
    if (answer.isError) throw new Error(answer.text);
    return `${answer.structured['stdout']}${answer.structured['stderr']}`;
  };
  return {
    server,
    sandboxId: String(created.structured['sandbox_id']),
    async setPolicy(next) {
      const answer = await server.call('sandbox_update_network_policy', {
        network_policy: argumentOf(next),
      });
      if (answer.isError) throw new Error(answer.text);
    },
    run: (line, more = {}) => execute('bash', ['-c', line], more),
    script: (program, text, more = {}) => execute(program, [program === 'node' ? '-e' : '-c', text], more),
    close: () => server.close(),
  };
}

import type { RegistryConfig } from '../../../src/registry/context.ts';
import type { CreateRequest, RunRequest } from '../../../src/registry/types.ts';

export const neverAborted = new AbortController().signal;

export const plainRequest: CreateRequest = {
  runtime: null,
  ports: [],
  timeoutMs: null,
  vcpus: null,
  env: {},
  networkPolicy: null,
  source: null,
  interactive: false,
  keep: false,
};

export const sleep: RunRequest = {
  cmd: 'sleep',
  args: ['1000'],
  cwd: null,
  env: {},
  sudo: false,
  timeoutMs: null,
};

export const defaultConfig: RegistryConfig = {
  maxLifetimeMs: 86_400_000,
  retentionMs: 86_400_000,
  onDisconnect: 'stop',
  maxSandboxes: 10,
  maxRunningCommands: 20,
  maxShells: 3,
  maxVcpus: 16,
  maxSnapshots: 10,
};

/**
 * Every command-line flag, defined once: the parser, the configuration and the reference page use this table.
 */
import type { FlagSpec } from './flag-spec.ts';
import { HTTP_FLAGS } from './http-flags.ts';

export const FLAGS = [
  {
    name: 'transport',
    value: 'NAME',
    repeatable: false,
    default: 'stdio',
    description: 'Transport between client and server: `stdio`, or `http` for many clients at `/mcp`.',
  },
  ...HTTP_FLAGS,
  {
    name: 'engine',
    value: 'NAME',
    repeatable: false,
    default: 'auto',
    description:
      'Where sandboxes run: `oci` on this machine (the default for `auto`), or `vercel` in its cloud, which costs money.',
  },
  {
    name: 'state-dir',
    value: 'DIR',
    repeatable: false,
    default: '`$XDG_STATE_HOME/sandbox-mcp` or `~/.local/state/sandbox-mcp`; as root `/var/lib/sandbox-mcp`',
    description: 'Directory for sandboxes, records and logs.',
  },
  {
    name: 'oci-runtime',
    value: 'NAME',
    repeatable: false,
    default: 'auto',
    description:
      'OCI runtime: `auto` (the first one that works), `crun`, `runc` or a path. `runsc` (gVisor) is not supported.',
  },
  {
    name: 'disk-mb',
    value: 'MIB',
    repeatable: false,
    default: '10240',
    description:
      'Disk limit for the files and command logs of a sandbox, in MiB, or `off`. Checked every second; a sandbox that ' +
      'exceeds it is stopped. Capped at 90 % of the space that is free when the sandbox is created.',
  },
  {
    name: 'volume-mb',
    value: 'MIB',
    repeatable: false,
    default: '10240',
    description:
      'Disk limit for the files of a named volume, in MiB, or `off`. Checked as `--disk-mb` is; a sandbox that can write to a larger one is stopped.',
  },
  {
    name: 'max-volumes',
    value: 'COUNT',
    repeatable: false,
    default: '16',
    description: 'Maximum number of named volumes per principal.',
  },
  {
    name: 'call-timeout',
    value: 'DURATION',
    repeatable: false,
    default: '55s',
    description:
      'How long a tool call may take before it answers and its work continues in the background; at least 55s. Raise it for clients that wait longer.',
  },
  {
    name: 'max-lifetime',
    value: 'DURATION',
    repeatable: false,
    default: '24h',
    description: 'Maximum lifetime of a sandbox, including extensions.',
  },
  {
    name: 'retention',
    value: 'DURATION',
    repeatable: false,
    default: '24h',
    description: 'How long the record and logs of an ended sandbox stay readable.',
  },
  {
    name: 'on-disconnect',
    value: 'ACTION',
    repeatable: false,
    default: 'stop',
    description:
      "What to do with a session's own sandboxes when it ends: `stop` them, or `keep` them until their deadline.",
  },
  {
    name: 'warm',
    value: 'COUNT',
    repeatable: false,
    default: '0',
    description:
      'How many sandboxes `oci` boots ahead while the server is idle, from the first create on: the next `sandbox_create` ' +
      'of the same size without image, source, volumes and workspace takes one over. They count against no limit and end with the server. 0 for none.',
  },
  {
    name: 'allow-dir',
    value: 'DIR',
    repeatable: true,
    default: 'none',
    description:
      'Host folder that uploads and downloads may access, in addition to the working directory (which is ' +
      'excluded if it is `/`). Repeatable; separated by `:` in the environment.',
  },
  {
    name: 'allow-live',
    value: null,
    repeatable: false,
    default: 'false',
    description:
      'Allow workspaces in the mode `live`: what a sandbox writes appears in the host folder at once, without review.',
  },
  {
    name: 'egress-allow',
    value: 'RANGE',
    repeatable: true,
    default: 'none',
    description:
      'Private addresses, or addresses of this host, that sandboxes may reach: `10.1.0.0/16`, or ' +
      '`10.1.2.3/32:5432` for one port. The network policy still applies. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'egress-dns',
    value: 'ADDRESS',
    repeatable: true,
    default: "the host's own",
    description:
      'Name server for the DNS queries of sandboxes, `ADDRESS` or `ADDRESS:PORT`. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'egress-ech',
    value: 'ACTION',
    repeatable: false,
    default: 'allow',
    description:
      'TLS connections with an encrypted client hello, which browsers always send: `allow` applies the policy to the outer name, `refuse` refuses them.',
  },
  {
    name: 'egress-max-bytes',
    value: 'BYTES',
    repeatable: false,
    default: 'none',
    description:
      'Lifetime network quota per sandbox, inbound plus outbound: `500MB`, `2GB`. Further traffic is refused.',
  },
  {
    name: 'images',
    value: 'NAMES',
    repeatable: true,
    default: 'all of public registries',
    description:
      'Images that an agent may name as `runtime`: a registry, a path below one, or an image, such as ' +
      '`registry.example`, `registry.example/team`, `python` or `python:3.13-slim`. A registry with a private address has to be ' +
      'named here. Repeatable; separated by `,`.',
  },
  {
    name: 'runtime-image',
    value: 'NAME=IMAGE',
    repeatable: true,
    default: 'official images for `node` and `python` versions',
    description:
      'The image for a runtime name: `python3.13=registry.example/python:3.13`. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'registry-mirror',
    value: 'REGISTRY=ADDRESS',
    repeatable: true,
    default: 'none',
    description:
      'An address to try before the registry itself: `registry.example=https://mirror.example`. Mirrors get no credentials. ' +
      'Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'insecure-registry',
    value: 'REGISTRY',
    repeatable: true,
    default: 'those on the loopback interface',
    description:
      'A registry to reach over plain HTTP, `HOST` or `HOST:PORT`. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'vercel-api-url',
    value: 'URL',
    repeatable: false,
    default: "the SDK's, `https://vercel.com/api`",
    description:
      'Base URL for every request of the `vercel` engine, with the same paths: a company proxy or a test server.',
  },
  {
    name: 'toolsets',
    value: 'NAMES',
    repeatable: false,
    default: 'all',
    description:
      'Tool groups to offer, separated by commas: `all`, or any of `core`, `lifecycle`, `commands`, ' +
      '`files`, `shells`, `network`, `snapshots`, `session`.',
  },
  {
    name: 'read-only',
    value: null,
    repeatable: false,
    default: 'false',
    description: 'Offer only tools that change nothing.',
  },
  {
    name: 'answers',
    value: 'FORM',
    repeatable: false,
    default: 'auto',
    description:
      'Content of tool results: `both` for readable text and structured content, `json` for structured content and the same JSON ' +
      'as text, or `text` only. `auto` chooses by client name, so that the model sees a single copy.',
  },
  {
    name: 'max-sandboxes',
    value: 'COUNT',
    repeatable: false,
    default: '10',
    description: 'Maximum number of live sandboxes per session.',
  },
  {
    name: 'max-running-commands',
    value: 'COUNT',
    repeatable: false,
    default: '100',
    description: 'Maximum number of running commands per session.',
  },
  {
    name: 'max-shells',
    value: 'COUNT',
    repeatable: false,
    default: '10',
    description: 'Maximum number of open terminals per session.',
  },
  {
    name: 'max-vcpus',
    value: 'COUNT',
    repeatable: false,
    default: '32',
    description: 'Maximum number of virtual CPUs, summed over the live sandboxes of a session.',
  },
  {
    name: 'max-snapshots',
    value: 'COUNT',
    repeatable: false,
    default: '100',
    description: 'Maximum number of snapshots per principal.',
  },
  {
    name: 'trace-file',
    value: 'FILE',
    repeatable: false,
    default: 'none',
    description:
      'File for a trace of where time is spent, from the client to the sandbox and back, for `chrome://tracing` or Perfetto. ' +
      'It is replaced, and holds names of tools and steps, no arguments.',
  },
  {
    name: 'log-level',
    value: 'LEVEL',
    repeatable: false,
    default: 'info',
    description: 'Level of the log on stderr: `trace`, `debug`, `info`, `warn`, `error` or `silent`.',
  },
] as const satisfies readonly FlagSpec[];

export type FlagName = (typeof FLAGS)[number]['name'];

/** The flags given on the command line: each value in order, `true` for a switch. */
export type ParsedFlags = ReadonlyMap<FlagName, readonly string[]>;

/** The environment variable for a flag: `--max-vcpus` is `SANDBOX_MCP_MAX_VCPUS`. */
export function environmentName(name: FlagName): string {
  return `SANDBOX_MCP_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** The default of a flag, from the table. */
export function defaultText(name: FlagName): string {
  return FLAGS.find((flag) => flag.name === name)?.default ?? '';
}

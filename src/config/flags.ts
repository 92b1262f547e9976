/** Every command-line flag, defined once: the parser, the configuration and the reference page use this table. */

export interface FlagSpec {
  readonly name: string;
  /** The name of the value in help; null for a switch. */
  readonly value: string | null;
  readonly repeatable: boolean;
  /** As displayed in help. */
  readonly default: string;
  readonly description: string;
}

export const FLAGS = [
  {
    name: 'transport',
    value: 'NAME',
    repeatable: false,
    default: 'stdio',
    description: 'How clients talk to the server: `stdio`.',
  },
  {
    name: 'engine',
    value: 'NAME',
    repeatable: false,
    default: 'auto',
    description:
      'What isolates the sandboxes: `oci` on this machine, which `auto` takes, or `vercel` in its cloud, which costs money.',
  },
  {
    name: 'state-dir',
    value: 'DIR',
    repeatable: false,
    default: '`$XDG_STATE_HOME/sandbox-mcp` or `~/.local/state/sandbox-mcp`; as root `/var/lib/sandbox-mcp`',
    description: 'Where sandboxes, records and logs are kept.',
  },
  {
    name: 'oci-runtime',
    value: 'NAME',
    repeatable: false,
    default: 'auto',
    description:
      'The OCI runtime: `auto` takes the first that works, else `crun`, `runc`, `runsc` or a path.',
  },
  {
    name: 'disk-mb',
    value: 'MIB',
    repeatable: false,
    default: '10240',
    description:
      'What the files and command logs of a sandbox may take on disk, in MiB, or `off`. Looked at each second; a sandbox ' +
      'that takes more is ended. At most 90 % of what is free when it is made.',
  },
  {
    name: 'max-lifetime',
    value: 'DURATION',
    repeatable: false,
    default: '24h',
    description: 'The longest a sandbox may live, extensions included.',
  },
  {
    name: 'retention',
    value: 'DURATION',
    repeatable: false,
    default: '24h',
    description: 'How long the record and the logs of an ended sandbox stay readable.',
  },
  {
    name: 'on-disconnect',
    value: 'ACTION',
    repeatable: false,
    default: 'stop',
    description:
      "What becomes of a session's own sandboxes when it ends: `stop`, or `keep` to their deadline.",
  },
  {
    name: 'allow-dir',
    value: 'DIR',
    repeatable: true,
    default: 'none',
    description:
      'A host folder that uploads and downloads may touch, beside the working directory (which does not ' +
      'count where it is the root directory). Repeatable; separated by `:` in the environment.',
  },
  {
    name: 'egress-allow',
    value: 'RANGE',
    repeatable: true,
    default: 'none',
    description:
      "Addresses that sandboxes may reach although they are private or this host's own: `10.1.0.0/16`, or " +
      '`10.1.2.3/32:5432` for one port. The network policy still decides. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'egress-dns',
    value: 'ADDRESS',
    repeatable: true,
    default: "the host's own",
    description:
      "A name server to look sandboxes' names up at, `ADDRESS` or `ADDRESS:PORT`. Repeatable; separated by `,` in the environment.",
  },
  {
    name: 'egress-ech',
    value: 'ACTION',
    repeatable: false,
    default: 'allow',
    description:
      'TLS connections with an encrypted client hello, which browsers always send: `allow` goes by the outer name, `refuse` refuses them.',
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
    name: 'vercel-api-url',
    value: 'URL',
    repeatable: false,
    default: "the SDK's own, `https://vercel.com/api`",
    description:
      'Where every request of the engine `vercel` goes instead, with the same paths: a company proxy, or a test server.',
  },
  {
    name: 'toolsets',
    value: 'NAMES',
    repeatable: false,
    default: 'all',
    description:
      'The tools to offer, by group and separated by commas: `all`, or any of `core`, `lifecycle`, `commands`, ' +
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
      'What an answer contains: `both` readable text and structured content, `json` structured content and the same JSON ' +
      'as text, or `text` alone. `auto` chooses by the name of the client, so that its model sees one copy.',
  },
  {
    name: 'max-sandboxes',
    value: 'COUNT',
    repeatable: false,
    default: '10',
    description: 'Live sandboxes a session may own.',
  },
  {
    name: 'max-running-commands',
    value: 'COUNT',
    repeatable: false,
    default: '100',
    description: 'Commands a session may have running at once.',
  },
  {
    name: 'max-shells',
    value: 'COUNT',
    repeatable: false,
    default: '10',
    description: 'Terminals a session may have open at once.',
  },
  {
    name: 'max-vcpus',
    value: 'COUNT',
    repeatable: false,
    default: '32',
    description: 'Virtual CPUs that the live sandboxes of a session may add up to.',
  },
  {
    name: 'max-snapshots',
    value: 'COUNT',
    repeatable: false,
    default: '100',
    description: 'Snapshots a principal may keep.',
  },
  {
    name: 'log-level',
    value: 'LEVEL',
    repeatable: false,
    default: 'info',
    description: 'Log lines on stderr: `trace`, `debug`, `info`, `warn`, `error` or `silent`.',
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

/** What the rows are meant to reach, and why those that do not reach it do not. */

export interface Target {
  readonly row: string;
  /** What is counted, for people. */
  readonly what: string;
  /**
   * Finds the contender that this server's time is divided by. Null: milliseconds count. `memory`: megabytes,
   * which a remark of the row has.
   */
  readonly against: RegExp | 'memory' | null;
  /** The highest ratio, or the most milliseconds or megabytes. */
  readonly most: number;
  /** Why it takes longer where it does; shown only then. */
  readonly cause?: string;
}

const TREE =
  'the agent creates each file, with its mode and times, as `tar` does; beside it the server passes each entry on and a thread opens each file by a path below a held directory, on the same processors';

const IN_STOCK =
  'the trace of a create from the stock below: who owns the sandbox is on disk before it is taken over, and its records and its deadline are written one after the other, so that a SIGKILL between them loses nothing';

export const TARGETS: readonly Target[] = [
  { row: 'start', what: 'start to the answer of `initialize`', against: /^node -e 0/, most: 1.3 },
  {
    row: 'first-command',
    what: 'start to the first answered command in a new sandbox',
    against: /^node -e 0/,
    most: 2.5,
    cause:
      'the trace of a start below: the load of the server’s modules and a boot by the runtime follow one another, and each takes about as long as Node itself to start',
  },
  {
    row: 'create-in-stock',
    what: '`sandbox_create` with a sandbox in stock',
    against: /^runc /,
    most: 0.15,
    cause: IN_STOCK,
  },
  {
    row: 'first-output-in-stock',
    what: 'create to the first line, in stock',
    against: /^runc /,
    most: 0.3,
    cause: IN_STOCK,
  },
  {
    row: 'first-output',
    what: 'create to the first line, not in stock',
    against: /^runc /,
    most: 1.2,
    cause:
      'the trace of a create below: the runtime makes the same namespaces and mounts, and before it the layers, the certificate authority and the record of the owner are written, which the bare runtime finds ready made',
  },
  {
    row: 'call',
    what: 'a call of `true`',
    against: /^runc /,
    // Six tenths of what it was.
    most: 0.09,
    cause:
      'the trace of a command below: after the one round trip to the agent, the start of the supervisor and of the program is what is left',
  },
  { row: 'search', what: '`sandbox_search_files` in 100,000 files', against: /^grep /, most: 1.5 },
  {
    row: 'workspace',
    what: '`sandbox_create` on a folder of 100,000 files',
    against: /^without, and find/,
    most: 1.2,
  },
  { row: 'tree-up', what: 'a tree of 10,000 files up', against: /^tar /, most: 1.3, cause: TREE },
  { row: 'tree-down', what: 'a tree of 10,000 files down', against: /^tar /, most: 1.3, cause: TREE },
  {
    row: 'file-up',
    what: 'a file of 1 GB up',
    against: /^(crun|runc) /,
    most: 1.3,
    cause:
      'the server reads the file, hashes it on a thread and sends it to the agent, which writes it: one copy and a hash more than `cat` between two descriptors',
  },
  {
    row: 'file-down',
    what: 'a file of 1 GB down',
    against: /^(crun|runc) /,
    most: 0.9,
    cause:
      'the server hashes the file on a thread, which takes its turn with the agent and the server on two processors',
  },
  {
    row: 'connect',
    what: 'a connection out, first byte',
    against: /^on the host/,
    most: 6,
    cause:
      'a connection is accepted by the agent, handed to the relay, decided on by the server and then made by the relay: three processes are woken before the other side hears of it, on the host none',
  },
  {
    row: 'download',
    what: '1 GB through the gateway',
    against: /^on the host/,
    most: 1.4,
    cause: 'the relay copies each byte from one socket to another, once more than on the host',
  },
  { row: 'busy-kill', what: 'a kill among fifty busy commands', against: /alone|idle/, most: 2 },
  { row: 'pull', what: 'a pull of 500 MB', against: /^skopeo /, most: 1.2 },
  { row: 'create-from-image', what: '`sandbox_create` of a pulled image', against: /host/, most: 1.2 },
  { row: 'live-100', what: 'memory outside each of 100 sandboxes', against: 'memory', most: 0.3 },
  { row: 'owner-end-100', what: 'the end of 100 sandboxes, in ms', against: null, most: 2_000 },
];

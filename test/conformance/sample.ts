/**
 * The cases of the contract that every way to run sandboxes has to pass: each id map and each runtime.
 *
 * The whole contract runs once, with the ids that root gives sandboxes and the runtime that `auto` chooses.
 * Whether sandboxes belong to root, to an ordinary user's subordinate ids or to a single id changes the owners
 * of files, what may be mounted, which cgroups limit and kill, how a sandbox gets its network, and who may
 * remove what it leaves; whether crun or runc starts them changes less. Each sample has every case that depends
 * on one of these. The others, such as paging, refused arguments and retained output, run the same code with the
 * same input whoever runs it.
 *
 * `CONTRACT=whole` runs everything everywhere.
 */
import type { Extent } from './support/subject.ts';

type Sample = Readonly<Record<Group, readonly string[]>>;

/**
 * The names of the sampled cases, by group, for another id map. Of a case with a table a sample runs the first
 * row. A name that no case has is an error.
 */
const ID_SAMPLE = {
  'the life of a sandbox': [
    // Start and end: mounts, namespaces, cgroups, and removal of files of other owners.
    'returns a running sandbox as requested',
    'is found by another process',
    'stops, reports it, and stays stopped',
    'can be stopped by another process',
    'ends at its deadline',
    'is forgotten without a trace, and can be forgotten twice',
    'leaves nothing of a cancelled create',
    // The network modes depend on what this user may set up.
    'rejects an unsupported network policy, source or runtime, and creates nothing',
  ],
  commands: [
    // Users, and the environment and rights of sudo.
    'runs as an ordinary user, and as root with sudo',
    'gives a program standard input, and nothing without',
    'exits with 127 for a missing program and 126 for one that cannot be executed',
    'merges environments, with the command’s own taking precedence',
    // Kills, with a cgroup or without.
    'can be found, awaited and killed by another process',
    'kills every descendant, wherever it moved',
    'kills what a finished command left running, and accepts a second kill',
    'ends at its own timeout, and says so',
    'reports the end of a command that ended with its sandbox, and keeps its log',
  ],
  environment: [
    // Files of home directories and of /etc, by owner.
    'keeps the given PATH in %s %s, with and without sudo',
    'finds programs in ~/.local/bin in every shell, with and without sudo',
    'names the caller of sudo',
    'lets git with sudo work in the user’s repository',
    'keeps the sandbox’s CA in the system bundle after update-ca-certificates',
    'gives browsers policies that make them trust the CA',
    'includes all CAs of the system in the bundle of every program',
  ],
  files: [
    // Owners, modes and permissions.
    'writes a file with its parents and mode, owned by the sandbox’s user',
    'keeps the mode of a replaced file, and uses 0644 for a new one',
    'acts as the sandbox’s user, and rejects what that user may not write',
    'reports a directory that does not accept new files as such, not as missing',
    'follows links inside the sandbox only',
    'writes and reads a tree, with links and modes',
    'keeps the times of files and directories, and reports what it leaves out of a tree',
    'leaves nothing of a tree that was cut short',
  ],
  'exploring files': [
    // What the sandbox's user may not read.
    'lists directories by the bytes of names, with what excludes files, and pages',
  ],
  workspaces: [
    // Mounts and owners of a folder of the host.
    'shows a folder, keeps what is written inside, and applies it',
    'shows a folder that nothing inside can change',
    'shows the folder itself, once nothing of it is hidden',
  ],
  git: [],
  ports: [
    // The network namespace, and whose processes the agent may look at.
    'names the programs that are listening, exposed or not',
    'forward HTTP to a server in the sandbox',
    'pass half-closes and a megabyte',
    'open in another process that attaches to the sandbox',
    'closes with the sandbox',
  ],
  shells: [
    // Terminals belong to a user, and end with a cgroup or without.
    'accept input, resize and report their end',
    'support environment, directory and sudo',
    'end all processes on close',
    'end with their sandbox',
  ],
  snapshots: [
    // Layers, owners, the freezer, and removal of files of other owners.
    'can be copies of a sandbox that keeps running',
    'stop the sandbox and keep its files for a new sandbox',
    'are layered, including what was removed and recreated in between',
    'have a size, and no longer exist once deleted',
  ],
  images: [
    // Root file systems of other owners.
    'are separate root file systems, which each sandbox changes only for itself',
    'have the network access that the sandbox’s policy allows',
    'keep file owners, or report that they could not',
  ],
  sources: [
    // The users and the network of what fetches them, and its end.
    'fetch a git repository: %s',
    'fetch a tarball, %s, and strip its single top-level folder',
    'are fetched under the sandbox’s own policy',
    'are abandoned when the call is cancelled',
  ],
  'network policies': ['refuses addresses that no policy can allow, with a readable reason, and reports it'],
  limits: [
    // Cgroups, and what takes their place.
    'kills a command that exceeds the memory limit, reports it, and keeps running',
    'has shared memory of half its memory, and /tmp on disk',
    'shows programs their own limits, read-only',
    'lets a program trace its own child',
    'survives a fork bomb, which a kill reliably ends',
    'kills trees five deep, each time',
  ],
  // Kept output and terminals for people are the work of the agent and the server alone.
  output: [],
  interactive: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Group = keyof typeof ID_SAMPLE;

/** The same for another runtime, which mounts, limits, freezes and ends; files and their owners are the agent's. */
const RUNTIME_SAMPLE: Sample = {
  'the life of a sandbox': [
    'returns a running sandbox as requested',
    'stops, reports it, and stays stopped',
    'can be stopped by another process',
    'ends at its deadline',
    'is forgotten without a trace, and can be forgotten twice',
    'leaves nothing of a cancelled create',
  ],
  commands: [
    // Capabilities, namespaces and cgroups.
    'runs as an ordinary user, and as root with sudo',
    'can be found, awaited and killed by another process',
    'kills every descendant, wherever it moved',
    'reports the end of a command that ended with its sandbox, and keeps its log',
  ],
  environment: [],
  files: [],
  'exploring files': [],
  // Mounts.
  workspaces: ID_SAMPLE.workspaces,
  git: [],
  ports: ['forward HTTP to a server in the sandbox', 'closes with the sandbox'],
  // The mount of devpts.
  shells: ['accept input, resize and report their end', 'end with their sandbox'],
  // The freezer, and layers as mounts.
  snapshots: [
    'can be copies of a sandbox that keeps running',
    'stop the sandbox and keep its files for a new sandbox',
  ],
  images: [
    'are separate root file systems, which each sandbox changes only for itself',
    'have the network access that the sandbox’s policy allows',
  ],
  // The network namespace.
  sources: ['fetch a git repository: %s', 'are fetched under the sandbox’s own policy'],
  'network policies': ID_SAMPLE['network policies'],
  limits: ID_SAMPLE.limits,
  output: [],
  interactive: [],
};

export const SAMPLES: Readonly<Record<Exclude<Extent, 'whole'>, Sample>> = {
  ids: ID_SAMPLE,
  runtime: RUNTIME_SAMPLE,
};

/** What runs: the requested extent, or everything if the environment says so. */
export function extentOf(requested: Extent): Extent {
  return process.env['CONTRACT'] === 'whole' ? 'whole' : requested;
}

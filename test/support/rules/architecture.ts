/**
 * The rules of the source tree as functions over paths and texts; each returns its violations as sentences.
 */
import { posix } from 'node:path';
import { layered, OCI_ROOMS, REGISTRY_ROOMS, type Reach, TOOL_ROOMS } from './room-order.ts';

export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Import {
  readonly specifier: string;
  /** True if the import does not exist at run time. */
  readonly typeOnly: boolean;
}

/** What the registry and the tools may import from outside; of engines only the types. */
const ABOVE_ENGINES: Record<string, Reach> = { 'src/engines/engine.ts': 'types', 'src/shared/': 'all' };

/** What every room of the vercel engine may import. */
const VERCEL_BASE: Record<string, Reach> = {
  'src/engines/vercel/context.ts': 'types',
  'src/engines/engine.ts': 'types',
  'src/shared/': 'all',
};

/**
 * Which part of the tree may import which. A path belongs to the zone with the longest prefix that matches;
 * the longest matching prefix in that zone's entry decides about an import. A zone may always import itself.
 */
export const IMPORT_TABLE: Record<string, Record<string, Reach> | 'everything'> = {
  'src/main.ts': 'everything',
  'src/composition.ts': 'everything',
  'src/code-cache.ts': {},
  'src/trace-file.ts': { 'src/shared/': 'all' },
  'src/config/': { 'src/shared/': 'all' },
  'src/cli/': {
    'src/cli/output/': 'all',
    'src/cli/setup/': 'all',
    'src/cli/verbs/': 'all',
    'src/config/': 'all',
    'src/registry/': 'types',
    'src/engines/engine.ts': 'all',
    'src/shared/': 'all',
  },
  'src/cli/verbs/': {
    'src/config/': 'all',
    'src/cli/output/': 'all',
    'src/cli/setup/': 'all',
    'src/cli/image-build/': 'all',
    'src/registry/': 'types',
    'src/engines/engine.ts': 'types',
    'src/images/': 'all',
    'src/shared/': 'all',
  },
  'src/cli/image-build/': { 'src/shared/': 'all' },
  'src/cli/setup/': { 'src/config/': 'types', 'src/shared/': 'all' },
  'src/cli/output/': {
    'src/registry/types.ts': 'types',
    'src/engines/engine.ts': 'types',
    'src/shared/': 'all',
  },
  'src/server/': { 'tools/common/': 'all', 'src/registry/types.ts': 'types', 'src/shared/': 'all' },
  'src/registry/': ABOVE_ENGINES,
  ...layered('src/registry/', REGISTRY_ROOMS, ABOVE_ENGINES),
  'src/engines/engine.ts': { 'src/engines/contract/': 'types', 'src/shared/': 'types' },
  'src/engines/contract/': { 'src/shared/': 'types' },
  'src/engines/': { 'src/engines/engine.ts': 'all', 'src/shared/': 'all' },
  'src/engines/output-log/': { 'src/engines/engine.ts': 'types', 'src/shared/': 'all' },
  'src/engines/workspace/': { 'src/engines/engine.ts': 'types', 'src/shared/': 'all' },
  ...layered('src/engines/oci/', OCI_ROOMS, {
    'src/engines/engine.ts': 'all',
    'src/engines/output-log/': 'all',
    'src/engines/workspace/': 'all',
    'src/egress/': 'all',
    'src/images/': 'all',
    'src/shared/': 'all',
  }),
  'src/engines/vercel/': {
    'src/engines/vercel/': 'all',
    'src/engines/output-log/': 'all',
    'src/engines/workspace/': 'all',
    'src/engines/engine.ts': 'all',
    'src/shared/': 'all',
  },
  'src/engines/vercel/shells/': {
    'src/engines/vercel/commands/': 'all',
    'src/engines/vercel/sandbox/': 'all',
    'src/engines/vercel/guest/': 'all',
    'src/engines/vercel/http/': 'all',
    'src/engines/vercel/state/': 'all',
    ...VERCEL_BASE,
  },
  'src/engines/vercel/commands/': {
    'src/engines/vercel/sandbox/': 'all',
    'src/engines/vercel/guest/': 'all',
    'src/engines/vercel/http/': 'all',
    'src/engines/vercel/state/': 'all',
    'src/engines/output-log/': 'all',
    ...VERCEL_BASE,
  },
  'src/engines/vercel/ports/': {
    'src/engines/vercel/sandbox/': 'all',
    'src/engines/vercel/guest/': 'all',
    ...VERCEL_BASE,
  },
  'src/engines/vercel/files/': {
    'src/engines/workspace/': 'types',
    'src/engines/vercel/sandbox/': 'all',
    'src/engines/vercel/guest/': 'all',
    'src/engines/vercel/http/': 'all',
    ...VERCEL_BASE,
  },
  'src/engines/vercel/sandbox/': {
    'src/engines/vercel/policy/': 'all',
    'src/engines/vercel/guest/': 'all',
    'src/engines/vercel/http/': 'all',
    'src/engines/vercel/state/': 'all',
    ...VERCEL_BASE,
  },
  'src/engines/vercel/policy/': VERCEL_BASE,
  'src/engines/vercel/guest/': VERCEL_BASE,
  'src/engines/vercel/http/': VERCEL_BASE,
  'src/engines/vercel/state/': VERCEL_BASE,
  'src/egress/': { 'src/egress/': 'all', 'src/shared/': 'all' },
  'src/egress/tls/': {
    'src/egress/http/': 'all',
    'src/egress/connection/': 'all',
    'src/egress/policy/': 'all',
    'src/shared/': 'all',
  },
  'src/egress/http/': { 'src/egress/connection/': 'all', 'src/egress/policy/': 'all', 'src/shared/': 'all' },
  'src/egress/dns/': { 'src/egress/connection/': 'all', 'src/egress/policy/': 'all', 'src/shared/': 'all' },
  'src/egress/connection/': { 'src/egress/policy/': 'all', 'src/shared/': 'all' },
  'src/egress/policy/': { 'src/shared/': 'all' },
  'src/images/': { 'src/images/registry/': 'all', 'src/shared/': 'all' },
  'src/images/registry/': {
    'src/images/architecture.ts': 'all',
    'src/images/image-manifest.ts': 'all',
    'src/shared/': 'all',
  },
  'src/shared/': {},
  'tools/': { 'src/registry/types.ts': 'types', ...ABOVE_ENGINES },
  ...layered('tools/', TOOL_ROOMS, { 'src/registry/types.ts': 'types', ...ABOVE_ENGINES }),
};

const PROTOCOL_LIBRARIES = '@modelcontextprotocol/';

/** Imports that the table does not allow. Everybody may import the type of the configuration. */
export function importViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const from = zoneOf(path);
    if (from === null) return [`${path}: in no known part of the tree`];
    const allowed = IMPORT_TABLE[from];
    if (allowed === undefined || allowed === 'everything') return [];
    return importsOf(text)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .flatMap(({ specifier, typeOnly }) => {
        const target = posix.normalize(posix.join(posix.dirname(path), specifier));
        const to = zoneOf(target);
        if (to === from || (target === 'src/config/config.ts' && typeOnly)) return [];
        const reach = reachOf(allowed, target);
        if (reach === 'all' || (reach === 'types' && typeOnly)) return [];
        return [`${path}: imports ${reach === 'types' ? 'more than types of ' : ''}${target}`];
      });
  });
}

/** Files other than those of `src/server` that import a library of the protocol. */
export function protocolViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !path.startsWith('src/server/'))
    .filter(({ text }) => importsOf(text).some(({ specifier }) => specifier.startsWith(PROTOCOL_LIBRARIES)))
    .map(({ path }) => `${path}: imports a library of the protocol`);
}

/** Readers of the environment other than `src/config/config.ts`. */
export function environmentViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path !== 'src/config/config.ts')
    .filter(({ text }) =>
      /\bprocess\s*(\?\.|\.|\[['"])\s*env\b|\benv\b[^;]*from 'node:process'/.test(code(text)),
    )
    .map(({ path }) => `${path}: reads process.env`);
}

/** Standard output carries the protocol; logging goes through the logger. */
export function consoleViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ text }) => /\bconsole\s*(\?\.|\.|\[)/.test(code(text)))
    .map(({ path }) => `${path}: uses console`);
}

/** Signals are combined in one file, which keeps their sources alive. */
export function signalViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(
      ({ path, text }) =>
        path !== 'src/shared/async/any-signal.ts' && /\bAbortSignal\.any\b/.test(code(text)),
    )
    .map(({ path }) => `${path}: uses AbortSignal.any`);
}

/** Listeners for an abort are added in one file, which also handles a signal that has aborted already. */
export function abortListenerViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(
      ({ path, text }) =>
        path !== 'src/shared/async/on-abort.ts' && /\baddEventListener\(\s*['"]abort['"]/.test(code(text)),
    )
    .map(({ path }) => `${path}: adds a listener for an abort; use onAbort`);
}

/** The parts of an engine that act; the rest of its contract is plain data. */
const ENGINE_PARTS = ['Engine', 'Commands', 'Shells', 'NetworkPolicies', 'Snapshots', 'Ports', 'Sources'];

/**
 * Above the registry nothing uses an engine: every access goes through a session's handles, which check the
 * ownership. That includes the registry's own interface: otherwise a tool could reach an engine without
 * importing it.
 */
export function engineViolations(files: readonly SourceFile[]): string[] {
  const statement =
    /^import\s[^;]*?\{([^}]*)\}\s*from\s*'[^']*\/engines\/(?:engine|contract\/[a-z-]+)\.ts'/gm;
  return files
    .filter(({ path }) => path === 'src/registry/types.ts' || /^(tools|src\/server|src\/cli)\//.test(path))
    .flatMap(({ path, text }) =>
      [...code(text).matchAll(statement)]
        .flatMap(([, names = '']) => names.split(',').map((name) => name.trim().replace(/^type /, '')))
        .filter((name) => ENGINE_PARTS.includes(name))
        .map((name) => `${path}: uses ${name} of an engine; go through a handle of the session`),
    );
}

/** Contracts are types only: nothing of them exists at run time. */
export function contractViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ text }) =>
      /^\s*(export\s+)?(default|const|let|var|function|async|class|enum)\b/m.test(code(text)),
    )
    .map(({ path }) => `${path}: holds code`);
}

/** The imports, re-exports and dynamic imports of a TypeScript text. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const statement = /^\s*(?:import|export)\s+(?:(type)\s+)?([^;'"]*?\bfrom\s+)?['"]([^'"]+)['"]/gm;
  for (const [, type, names, specifier] of code(text).matchAll(statement)) {
    if (specifier !== undefined) found.push({ specifier, typeOnly: type === 'type' || hasTypesAlone(names) });
  }
  for (const [, specifier] of code(text).matchAll(/\bimport\s*\(\s*['"]([^'"]+)['"]/g)) {
    if (specifier !== undefined) found.push({ specifier, typeOnly: false });
  }
  return found;
}

/** `{ type A, type B } from`. */
function hasTypesAlone(names: string | undefined): boolean {
  const inner = /^\{([^}]*)\}\s*from\s+$/.exec(names ?? '')?.[1]?.trim();
  if (inner === undefined || inner === '') return false;
  const each = inner.split(',').map((name) => name.trim());
  return each.every((name) => name === '' || name.startsWith('type '));
}

function zoneOf(path: string): string | null {
  return longestPrefix(Object.keys(IMPORT_TABLE), path);
}

function reachOf(allowed: Record<string, Reach>, path: string): Reach | undefined {
  const prefix = longestPrefix(Object.keys(allowed), path);
  return prefix === null ? undefined : allowed[prefix];
}

function longestPrefix(prefixes: readonly string[], path: string): string | null {
  const matching = prefixes.filter((prefix) => path.startsWith(prefix));
  return matching.sort((a, b) => b.length - a.length)[0] ?? null;
}

/** The text without comments. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');
}

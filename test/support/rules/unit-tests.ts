/** The rule that keeps unit tests free of what needs a prepared machine. */
import { posix } from 'node:path';
import { importsOf, type SourceFile } from './architecture.ts';

/**
 * What only system tests may import, directly or not: it needs a build, a runtime, root or programs of Linux.
 */
export const SYSTEM_SUPPORT = [
  'test/agent/support/agent-sandbox.ts',
  'test/egress/support/ruled-world.ts',
  'test/egress/support/world.ts',
  'test/engines/oci/support/oci-engines.ts',
  'test/escape/support/escape-sandbox.ts',
  'test/tools/support/local-server.ts',
  'test/support/ordinary-user.ts',
  'test/support/run-verb.ts',
  'test/support/server.ts',
];

/** Unit tests that reach what only system tests may use. `files` are all files of `test/`. */
export function unitTestViolations(files: readonly SourceFile[]): string[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  return files
    .filter(({ path }) => path.endsWith('.test.ts') && !path.endsWith('.system.test.ts'))
    .flatMap(({ path }) => {
      const reached = testModulesFrom(path, texts);
      return SYSTEM_SUPPORT.filter((module) => reached.has(module)).map(
        (module) => `${path}: reaches ${module}, so that its name has to end in .system.test.ts`,
      );
    });
}

/** A module and what it imports of `test/`, at run time, directly or not. */
function testModulesFrom(path: string, texts: ReadonlyMap<string, string>): Set<string> {
  const reached = new Set<string>();
  const open = [path];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    for (const { specifier, typeOnly } of importsOf(texts.get(at) ?? '')) {
      if (!typeOnly && specifier.startsWith('.')) open.push(posix.join(posix.dirname(at), specifier));
    }
  }
  return reached;
}

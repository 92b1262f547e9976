import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf } from '../support/rules/architecture.ts';

const ROOT = join(import.meta.dirname, '../..');

const PROTOCOL = /^@modelcontextprotocol\/([^/]+)/;

/** The libraries that loading a file loads with it. What is imported later by `import()` does not count. */
function librariesOf(path: string, pattern = PROTOCOL): string[] {
  const seen = new Set<string>();
  const libraries = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8').replace(/\bimport\(/g, 'later(');
    for (const { specifier, typeOnly } of importsOf(text)) {
      if (typeOnly) continue;
      const [, library] = pattern.exec(specifier) ?? [];
      if (library !== undefined) libraries.add(library);
      if (specifier.startsWith('.') && specifier.endsWith('.ts')) visit(join(dirname(file), specifier));
    }
  };
  visit(join(ROOT, path));
  return [...libraries];
}

describe('the library of a protocol era', () => {
  it.each([
    ['src/main.ts', []],
    ['src/server/stdio/serve-stdio.ts', []],
    ['src/server/stdio/connect-legacy.ts', ['sdk']],
    ['src/server/stdio/connect-modern.ts', ['server']],
    ['src/server/http/serve-http.ts', []],
    ['src/server/http/legacy-library.ts', ['sdk']],
    ['src/server/http/stateless/stateless-requests.ts', ['server']],
  ])('is not loaded with the other: %s', (path, libraries) => {
    expect(librariesOf(path)).toEqual(libraries);
  });
});

it('libraries for what an operator has to turn on are loaded then', () => {
  const pattern = /^(@opentelemetry|jose|ioredis)(\/|$)/;
  expect(librariesOf('src/main.ts', pattern)).toEqual([]);
  expect(librariesOf('src/server/http/serve-http.ts', pattern)).toEqual([]);
  expect(librariesOf('src/server/http/tracing/open-telemetry.ts', pattern)).toEqual(['@opentelemetry']);
  expect(librariesOf('src/server/http/oauth/oauth.ts', pattern)).toEqual(['jose']);
});

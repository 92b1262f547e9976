import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SourceFile } from './support/rules/architecture.ts';
import {
  definitions,
  dependencies,
  includeViolations,
  sourceCircles,
  useViolations,
} from './support/rules/architecture-agent.ts';
import { lengthViolations, nameViolations } from './support/rules/files.ts';

const ROOT = join(import.meta.dirname, '../agent');
const ROOM_MAX = 20;

const sources: SourceFile[] = readdirSync(ROOT, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.[ch]$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') }));

const file = (path: string, text: string): SourceFile => ({ path, text });

describe("the agent's sources", () => {
  it('are found', () => {
    expect(sources.length).toBeGreaterThan(40);
    // The graph has the edges that a linker sees. These known ones are across rooms and inside one.
    const graph = dependencies(sources);
    expect([...(graph.get('init/dispatch.c') ?? [])]).toEqual(
      expect.arrayContaining(['command/run.c', 'shell/shell.c', 'wire/reply.c', 'init/deadline.c']),
    );
    expect([...(graph.get('relay/relay-control.c') ?? [])]).toContain('relay/relay-quota.c');
    expect([...(graph.get('wire/reply.c') ?? [])]).toEqual(['wire/frame.c']);
  });

  it.each<[string, (files: readonly SourceFile[]) => string[], SourceFile[], string]>([
    [
      'include their own header and those of lower rooms',
      includeViolations,
      [file('wire/x.c', '#include "process/process.h"\n')],
      'wire/x.c: includes process/process.h',
    ],
    [
      'include no private header of another room',
      includeViolations,
      [file('init/x.c', '#include "egress/netlink.h"\n')],
      'init/x.c: includes egress/netlink.h',
    ],
    [
      'include nothing of a room of the same layer',
      includeViolations,
      [file('shell/x.c', '#include "command/command.h"\n')],
      'shell/x.c: includes command/command.h',
    ],
    [
      'use only lower rooms, whatever they declare',
      useViolations,
      [
        file('files/x.c', 'void open_it(void);\nvoid read_it(void) {\n  open_it();\n}\n'),
        file('init/y.c', 'void open_it(void) {\n}\n'),
      ],
      'files/x.c: uses init/y.c',
    ],
    [
      'have no circle of files',
      sourceCircles,
      [
        file('wire/x.c', 'int first = 1;\nvoid one(void) {\n  two(NULL, 3);\n}\n'),
        file('wire/y.c', 'bool two(const char *a,\n         int b) {\n  return first == b;\n}\n'),
      ],
      'wire/x.c > wire/y.c > wire/x.c',
    ],
    ['are short', lengthViolations, [file('wire/x.c', '\n'.repeat(301))], 'wire/x.c: 301 lines, at most 300'],
    [
      'have kebab-case names',
      nameViolations,
      [file('wire/x_y.c', '')],
      'wire/x_y.c: the name is not kebab-case',
    ],
  ])('%s', (_, violations, wrong, sentence) => {
    expect(violations(wrong)).toContain(sentence);
    expect(violations(sources)).toEqual([]);
  });

  it('are in folders of at most about twenty files', () => {
    const rooms = new Map<string, number>();
    for (const { path } of sources) {
      const room = path.split('/')[0] ?? '';
      rooms.set(room, (rooms.get(room) ?? 0) + 1);
    }
    expect([...rooms].filter(([, count]) => count > ROOM_MAX)).toEqual([]);
  });
});

describe('definitions', () => {
  const text = [
    '/* int commented(void) { */',
    'static size_t count;',
    'struct egress egress = {.fd = -1};',
    'static bool own(int a) {',
    '  int local = 1;',
    '}',
    '_Noreturn void end(int fd,',
    '                   int code) {',
    'const char *name_of(const struct item *i) {',
    'bool declared(int fd);',
    'uint64_t totals[2];',
  ].join('\n');

  it('are found only at the top level', () => {
    expect(definitions(text, false).sort()).toEqual(['egress', 'end', 'name_of', 'totals']);
    expect(definitions(text, true).sort()).toEqual(['count', 'own']);
  });
});

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../../support/answers.ts';
import { type RunningServer, startServer } from '../../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

type Edits = { old_text: string; new_text: string; replace_all?: boolean }[];

const bash = (script: string) => outputOf(server, script);
const edit = (path: string, edits: Edits, more: Record<string, unknown> = {}) =>
  server.call('sandbox_edit_file', { path, edits, ...more });
const write = async (path: string, content: string | Buffer, mode?: string) => {
  const file = { path, content: Buffer.from(content).toString('base64'), encoding: 'base64', mode };
  expect((await server.call('sandbox_write_files', { files: [file] })).isError).toBe(false);
};

describe('sandbox_edit_file', () => {
  it('replaces text, returns the diff and keeps the mode', async () => {
    await write('run.sh', '#!/bin/sh\necho one\necho two\n', '0755');
    const answer = await edit('run.sh', [{ old_text: 'echo one', new_text: 'echo 1' }]);
    const content = '#!/bin/sh\necho 1\necho two\n';
    expect(answer.structured).toEqual({
      sandbox_id: expect.any(String),
      path: '/vercel/sandbox/run.sh',
      replacements: 1,
      size_bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      diff: '--- a/vercel/sandbox/run.sh\n+++ b/vercel/sandbox/run.sh\n@@ -1,3 +1,3 @@\n #!/bin/sh\n-echo one\n+echo 1\n echo two\n',
    });
    expect(await bash('./run.sh; stat -c %a run.sh')).toBe('1\ntwo\n755\n');
  });

  it('applies edits in order, each to the result of the previous one', async () => {
    await write('order', 'a b\n');
    const edits = [
      { old_text: 'a', new_text: 'bb' },
      { old_text: 'bb b', new_text: 'c' },
    ];
    expect((await edit('order', edits)).structured).toMatchObject({ replacements: 2 });
    expect(await bash('cat order')).toBe('c\n');
  });

  it('changes nothing if one of the edits does not match', async () => {
    await write('whole', 'one\ntwo\n');
    const answer = await edit('whole', [
      { old_text: 'one', new_text: '1' },
      { old_text: 'three', new_text: '3' },
    ]);
    failsWith(answer, 'not_found', '`edits[1].old_text` does not occur');
    expect(await bash('cat whole')).toBe('one\ntwo\n');
  });

  it('shows the nearest text with its line when nothing matches', async () => {
    await write('near.py', 'def f():\n\treturn 1\n\ndef g():\n\treturn 2\n');
    const answer = await edit('near.py', [{ old_text: 'def g():\n    return 2', new_text: '' }]);
    failsWith(answer, 'not_found', 'differs only in whitespace:\n4| def g():\n5| \treturn 2');
  });

  it('refuses text that occurs more than once and names the lines, unless all are meant', async () => {
    await write('twice', 'x = 1\ny = 2\nx = 1\n');
    const answer = await edit('twice', [{ old_text: 'x = 1', new_text: 'x = 3' }]);
    failsWith(answer, 'conflict', 'occurs 2 times in "/vercel/sandbox/twice", at lines 1, 3');
    const all = await edit('twice', [{ old_text: 'x = 1', new_text: 'x = 3', replace_all: true }]);
    expect(all.structured).toMatchObject({ replacements: 2 });
    expect(await bash('cat twice')).toBe('x = 3\ny = 2\nx = 3\n');
  });

  it('keeps line ends, a byte order mark, and bytes that are not UTF-8', async () => {
    await write('windows.txt', '\ufeffone\r\ntwo\r\n');
    await edit('windows.txt', [{ old_text: 'one\ntwo', new_text: '1\n2\n3' }]);
    expect(await bash('od -An -c windows.txt | tr -s " "')).toBe(
      ' 357 273 277 1 \\r \\n 2 \\r \\n 3 \\r \\n\n',
    );
    const latin1 = Buffer.from('caf\xe9 = 1\n', 'latin1');
    await write('latin1.txt', latin1);
    await edit('latin1.txt', [{ old_text: '= 1', new_text: '= 2' }]);
    expect(await bash('od -An -tx1 latin1.txt')).toBe(' 63 61 66 e9 20 3d 20 32 0a\n');
    const mixed = await edit('latin1.txt', [{ old_text: '= 2', new_text: '= é' }]);
    failsWith(mixed, 'invalid_argument', 'is not UTF-8');
  });

  it('refuses to replace what occurs more often than is quick', async () => {
    await write('often', 'a'.repeat(100_001));
    for (const replace_all of [true, false])
      failsWith(
        await edit('often', [{ old_text: 'a', new_text: 'b', replace_all }]),
        replace_all ? 'invalid_argument' : 'conflict',
        replace_all ? 'more than 100000 replacements' : 'occurs more than 100000 times',
      );
    const most = await edit('often', [
      { old_text: 'aa', new_text: 'b', replace_all: true },
      { old_text: 'b', new_text: 'cc', replace_all: true },
    ]);
    expect(most.structured).toMatchObject({ replacements: 100_000, size_bytes: 100_001 });
  });

  it('refuses a file with another digest than expected', async () => {
    await write('known', 'one\n');
    const digest = createHash('sha256').update('one\n').digest('hex');
    const edits = [{ old_text: 'one', new_text: 'two' }];
    expect((await edit('known', edits, { expected_sha256: digest })).isError).toBe(false);
    const answer = await edit('known', [{ old_text: 'two', new_text: 'x' }], { expected_sha256: digest });
    failsWith(answer, 'conflict', 'has changed');
    expect(await bash('cat known')).toBe('two\n');
  });

  it('loses none of several concurrent edits', async () => {
    await write('shared', Array.from({ length: 20 }, (_, at) => `line-${at}-\n`).join(''));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        edit('shared', [{ old_text: `line-${at}-`, new_text: `done-${at}-` }]),
      ),
    );
    expect(answers.map(({ isError }) => isError)).toEqual(answers.map(() => false));
    expect(await bash('grep -c done shared')).toBe('20\n');
  });

  it.each([
    ['a missing file', 'nowhere', 'not_found', 'does not exist'],
    ['a directory', '/tmp', 'invalid_argument', 'directory'],
    ['a binary file', '/bin/true', 'invalid_argument', 'binary'],
  ])('refuses %s', async (_, path, code, message) => {
    failsWith(await edit(path, [{ old_text: 'a', new_text: 'b' }]), code, message);
  });
});

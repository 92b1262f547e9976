import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FileThread, SMALL_BYTES } from '../../../tools/transfers/file-thread.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

async function opened(): Promise<{ thread: FileThread; home: string }> {
  const thread = new FileThread();
  onTestFinished(() => thread.close());
  return { thread, home: await temporaryFolder() };
}

describe('the thread for small files', () => {
  it('reads regular files that are small, and nothing else', async () => {
    const { thread, home } = await opened();
    await writeFile(join(home, 'secret'), 'secret');
    await writeFile(join(home, 'small'), 'x'.repeat(SMALL_BYTES), { mode: 0o640 });
    await writeFile(join(home, 'large'), 'x'.repeat(SMALL_BYTES + 1));
    await writeFile(join(home, 'empty'), '');
    await symlink('secret', join(home, 'link'));
    await mkdir(join(home, 'directory'));
    execFileSync('mkfifo', [join(home, 'pipe')]);
    const names = ['link', 'small', 'large', 'missing', 'directory', 'empty', 'pipe'];
    const paths = names.map((name) => join(home, name));
    const found = await thread.read(paths, READ);
    expect([...found.keys()].map((index) => names[index])).toEqual(['small', 'empty']);
    expect(found.get(1)?.content.equals(Buffer.alloc(SMALL_BYTES, 'x'))).toBe(true);
    expect((found.get(1)?.mode ?? 0) & 0o777).toBe(0o640);
    expect(found.get(5)?.content).toEqual(Buffer.alloc(0));
  });

  it('reads no more at a time than its memory holds', async () => {
    const { thread, home } = await opened();
    const paths = Array.from({ length: 40 }, (_, index) => join(home, `${index}`));
    for (const path of paths) await writeFile(path, Buffer.alloc(SMALL_BYTES, path.length));
    const found = await thread.read(paths, READ);
    expect(found.size).toBe(15);
    const again = await thread.read(paths.slice(-1), READ);
    expect(again.get(0)?.content.equals(Buffer.alloc(SMALL_BYTES, paths.at(-1)?.length ?? 0))).toBe(true);
  });

  it('creates files, and stops at the first that it may not create', async () => {
    const { thread, home } = await opened();
    await writeFile(join(home, 'precious'), 'old');
    await symlink('precious', join(home, 'link'));
    const file = (name: string) => ({
      path: join(home, name),
      mode: 0o600,
      mtimeMs: undefined,
      content: Buffer.from(name),
    });
    await thread.write([file('a'), file('b')], CREATE);
    await expect(thread.write([file('c'), file('link'), file('d')], CREATE)).rejects.toMatchObject({
      code: 'EEXIST',
    });
    expect((await readdir(home)).sort()).toEqual(['a', 'b', 'c', 'link', 'precious']);
    expect(await readFile(join(home, 'precious'), 'utf8')).toBe('old');
    expect(await readFile(join(home, 'b'), 'utf8')).toBe('b');
  });

  it('rejects what it has not written when it is closed, and leaves what is to be read to its caller', async () => {
    const { thread, home } = await opened();
    const file = { path: join(home, 'new'), mode: 0o644, mtimeMs: undefined, content: Buffer.from('x') };
    const refused = expect(thread.write([file], CREATE).then(() => thread.write([], CREATE))).rejects.toThrow(
      'has exited',
    );
    await thread.close();
    await refused;
    expect(await thread.read([join(home, 'a')], READ)).toEqual(new Map());
  });
});

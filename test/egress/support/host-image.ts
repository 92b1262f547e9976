/** An image with the programs of this machine that the attempts use, and nothing else of it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dockerArchive, tarOf } from '../../support/archives.ts';

const PYTHON = '/usr/bin/python3';
const PROGRAMS = [PYTHON, '/usr/bin/curl', '/usr/bin/env', '/bin/bash', '/bin/sh', '/bin/cat', '/bin/sleep'];
/** In `/usr/sbin` or `/usr/bin`, by distribution. */
const IP = ['/usr/sbin/ip', '/usr/bin/ip', '/sbin/ip', '/bin/ip'].find((path) => existsSync(path));
/** Lines of ldd(1): `libc.so.6 => /lib/…/libc.so.6 (0x…)`, and the loader's path alone. */
const LIBRARY = /(?:=> |^\s+)(\/\S+) \(0x/gm;

/** Writes the image as `docker save` would. */
export async function writeHostImage(archive: string): Promise<void> {
  const library = execFileSync(PYTHON, ['-c', 'import os; print(os.path.dirname(os.__file__))'], {
    encoding: 'utf8',
  }).trim();
  const extensions = execFileSync('find', [library, '-name', '*.so'], { encoding: 'utf8' })
    .trim()
    .split('\n');
  const programs = [...PROGRAMS, ...(IP === undefined ? [] : [IP])];
  const libraries = [...programs, ...extensions].flatMap(librariesOf);
  const paths = [...new Set([...programs, ...libraries, library])];
  const folder = await mkdtemp(join(tmpdir(), 'layer-'));
  try {
    const layer = join(folder, 'layer.tar');
    // What is a link here, such as /lib, is a directory there.
    const options = ['--dereference', '--create', '--file', layer, '--directory', '/'];
    const unused = ['dist-packages', 'site-packages', 'test', '__pycache__'].map(
      (name) => `--exclude=${name}`,
    );
    execFileSync('tar', [...options, ...unused, ...paths.map((path) => path.slice(1))]);
    writeFileSync(archive, tarOf(dockerArchive([readFileSync(layer)])));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** None for a static program, which ldd reports as a failure. */
function librariesOf(program: string): string[] {
  try {
    const printed = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [...printed.matchAll(LIBRARY)].flatMap(([, path]) => path ?? []);
  } catch {
    return [];
  }
}

/** An image of this machine's programs, in a registry on the loopback interface. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { startRealRegistry } from '../../test/images/support/real-registry.ts';
import { ARCHITECTURE } from '../../test/support/archives.ts';

const execute = promisify(execFile);
const LAYERS = 5;

export interface ServedImage {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly reference: string;
  /** Of its files. */
  readonly bytes: number;
  close(): Promise<void>;
}

/** What these rows need, of Debian's packages. */
export function requireTools(): void {
  const missing = ['skopeo', 'docker-registry'].filter((name) => !existsSync(join('/usr/bin', name)));
  if (missing.length > 0)
    throw new Error(`these rows need ${missing.join(' and ')}; \`npm test\` installs them`);
}

/** Of five layers, with files of this machine's `/usr` of `megabytes` in all, none larger than 20 MB. */
export async function serveImage(megabytes: number): Promise<ServedImage> {
  requireTools();
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  const registry = await startRealRegistry();
  const close = async () => {
    await registry.close();
    await rm(home, { recursive: true, force: true });
  };
  try {
    const { files, bytes } = await someFiles(megabytes * 1_000_000);
    const image = join(home, 'image');
    await mkdir(image);
    const diffIds: string[] = [];
    for (let at = 0; at < LAYERS; at++) {
      const part = files.slice((at * files.length) / LAYERS, ((at + 1) * files.length) / LAYERS);
      const list = join(home, 'list');
      await writeFile(list, part.map((path) => `${path}\0`).join(''));
      const layer = join(image, `${at}.tar`);
      await execute('tar', ['-cf', layer, '-C', '/', '--null', '--no-recursion', '-T', list]);
      diffIds.push(`sha256:${await sha256Of(layer)}`);
    }
    const config = {
      architecture: ARCHITECTURE,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: diffIds },
    };
    await writeFile(join(image, 'config.json'), JSON.stringify(config));
    const Layers = diffIds.map((_, at) => `${at}.tar`);
    const manifest = [{ Config: 'config.json', RepoTags: ['bench:1'], Layers }];
    await writeFile(join(image, 'manifest.json'), JSON.stringify(manifest));
    const archive = join(home, 'image.tar');
    await execute('tar', ['-cf', archive, '-C', image, 'manifest.json', 'config.json', ...Layers]);
    await rm(image, { recursive: true });
    const reference = `${registry.host}/bench/image:1`;
    await execute('skopeo', [
      'copy',
      '--dest-tls-verify=false',
      `docker-archive:${archive}`,
      `docker://${reference}`,
    ]);
    await rm(archive);
    return { host: registry.host, reference, bytes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Paths relative to the root, sorted, of at most so many bytes in all. */
async function someFiles(wanted: number): Promise<{ files: string[]; bytes: number }> {
  const find = ['/usr', '-xdev', '-type', 'f', '-size', '-20M', '-readable', '-printf', '%s %P\\0'];
  const { stdout } = await execute('find', find, { maxBuffer: 1e9 });
  const files: string[] = [];
  let bytes = 0;
  for (const line of stdout
    .split('\0')
    .sort((a, b) => (a.split(' ')[1] ?? '').localeCompare(b.split(' ')[1] ?? ''))) {
    const [, size = '0', path = ''] = /^(\d+) (.+)$/s.exec(line) ?? [];
    if (path === '' || bytes + Number(size) > wanted) continue;
    files.push(`usr/${path}`);
    bytes += Number(size);
  }
  if (bytes < wanted * 0.9) throw new Error(`/usr has only ${bytes} bytes of suitable files`);
  return { files, bytes };
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Archives for tests, including malicious ones that no ordinary program writes. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

export interface Entry {
  path: string;
  /** Of tar(5): `0` file, `1` hard link, `2` symbolic link, `3` device, `5` directory, `6` fifo, … */
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds since the epoch; may be negative. */
  mtime?: number;
  link?: string;
  content?: string | Buffer;
}

const BLOCK = 512;

function header(entry: Entry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(entry.path, 0, 100);
  octal(entry.mode ?? 0o644, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  const { mtime = 1_000_000_000 } = entry;
  if (mtime >= 0) octal(mtime, 136, 12);
  else {
    // Base 256, in two's complement.
    block.fill(0xff, 136, 140);
    block.writeBigInt64BE(BigInt(mtime), 140);
  }
  block.write('        ', 148);
  block.write(entry.type ?? '0', 156);
  block.write(entry.link ?? '', 157, 100);
  block.write('ustar\x0000', 257, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}

/** A tar archive of these entries, in this order. */
export function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '');
    return [header(entry, content.length), content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** One `key=value` of an extension header. The length in front counts its own digits. */
export function paxRecord(record: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(' '), Buffer.from(record), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** An extension header of the next entry; a value can be any bytes. */
export function pax(records: Record<string, string | Buffer>): Entry {
  const lines = Object.entries(records).map(([keyword, value]) =>
    paxRecord(Buffer.concat([Buffer.from(`${keyword}=`), Buffer.from(value)])),
  );
  return { path: 'PaxHeaders/x', type: 'x', content: Buffer.concat(lines) };
}

export const directory = (path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: '5',
  mode: 0o755,
  ...more,
});
export const symlink = (path: string, link: string): Entry => ({ path, type: '2', mode: 0o777, link });
export const hardlink = (path: string, link: string): Entry => ({ path, type: '1', link });

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** As image configurations name it. */
export const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

/** A static program with a shell and other tools. */
const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path)) ?? null;

/** Null if this machine has no static busybox (`npm test` installs it). */
export function busyboxEntries(): Entry[] | null {
  if (BUSYBOX === null) return null;
  const programs = [
    'sh',
    'ls',
    'cat',
    'id',
    'env',
    'echo',
    'mkdir',
    'whoami',
    'stat',
    'rm',
    'readlink',
    'test',
    'tr',
    'sed',
  ];
  return [
    directory('bin'),
    { path: 'bin/busybox', mode: 0o755, content: readFileSync(BUSYBOX) },
    ...programs.map((name) => symlink(`bin/${name}`, 'busybox')),
    directory('etc'),
    { path: 'etc/motd', content: 'imported\n' },
    directory('etc/apt'),
    directory('etc/apt/apt.conf.d'),
    directory('home'),
    directory('srv', { mode: 0o750, uid: 7, gid: 8 }),
    { path: 'srv/owned', mode: 0o4640, uid: 7, gid: 8, content: 'owned' },
    directory('var'),
    directory('var/data'),
    { path: 'var/data/file', content: 'data' },
  ];
}

/** An archive as `docker save` writes it, of an image with these layers. */
export function dockerArchive(
  layers: readonly Buffer[],
  {
    architecture = ARCHITECTURE,
    env = [],
    name = 'test:latest',
  }: { architecture?: string; env?: string[]; name?: string } = {},
): Entry[] {
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Env: env },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    }),
  );
  const names = layers.map((layer) => `${sha256(layer)}/layer.tar`);
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: [name], Layers: names }];
  return [
    ...layers.map((content, at) => ({ path: names[at] ?? '', content })),
    { path: `${sha256(config)}.json`, content: config },
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ];
}

export interface OciImage {
  architecture: string;
  layers: readonly { plain: Buffer; stored: Buffer }[];
}

/** An OCI image layout with one manifest per image, listed in an index. */
export function ociLayout(images: readonly OciImage[]): Entry[] {
  const blobs = new Map<string, Buffer>();
  const descriptor = (bytes: Buffer, mediaType: string) => {
    blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const kind = 'application/vnd.oci.image';
  const manifests = images.map(({ architecture, layers }) => {
    const config = Buffer.from(
      JSON.stringify({
        architecture,
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: layers.map(({ plain }) => `sha256:${sha256(plain)}`) },
      }),
    );
    const manifest = {
      schemaVersion: 2,
      config: descriptor(config, `${kind}.config.v1+json`),
      layers: layers.map(({ stored }) => descriptor(stored, `${kind}.layer.v1.tar`)),
    };
    const platform = { os: 'linux', architecture };
    return { ...descriptor(Buffer.from(JSON.stringify(manifest)), `${kind}.manifest.v1+json`), platform };
  });
  return [
    { path: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { path: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests }) },
    directory('blobs'),
    directory('blobs/sha256'),
    ...[...blobs].map(([name, content]) => ({ path: `blobs/sha256/${name}`, content })),
  ];
}

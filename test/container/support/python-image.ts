/**
 * An image with Debian's Python 3.13, in a registry on the loopback interface: it stands for the official image, which
 * needs the internet. The operator's table leads from the short name `python3.13` to it, by its digest.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDebian } from '../../images/support/debian.ts';
import { startRealRegistry } from '../../images/support/real-registry.ts';
import { dockerArchive, tarOf } from '../../support/archives.ts';

const run = promisify(execFile);
/** The version is that of this release. */
const [RUNTIME, SUITE] = ['python3.13', 'trixie'];

export interface PythonImage {
  readonly runtime: string;
  /** Flags of the server. */
  readonly flags: readonly string[];
  close(): Promise<void>;
}

/** Needs root, mmdebstrap, skopeo and docker-registry; returns why it cannot be made here. */
export async function servePythonImage(): Promise<PythonImage | string> {
  const include = ['base-files', 'dash', `${RUNTIME}-minimal`];
  const debian = await makeDebian({ variant: 'extract', suite: SUITE, include });
  if (typeof debian === 'string') return debian;
  const home = await mkdtemp(join(tmpdir(), 'python-'));
  const registry = await startRealRegistry();
  try {
    const layers = [await readFile(debian.path), tarOf([{ path: 'etc/motd', content: 'pulled\n' }])];
    const archive = join(home, 'image.tar');
    await writeFile(archive, tarOf(dockerArchive(layers)));
    const image = `${registry.host}/team/python:3.13`;
    const digestFile = join(home, 'digest');
    const options = ['--dest-tls-verify=false', '--digestfile', digestFile];
    await run('skopeo', ['copy', ...options, `docker-archive:${archive}`, `docker://${image}`]);
    const digest = (await readFile(digestFile, 'utf8')).trim();
    const flags = ['--runtime-image', `${RUNTIME}=${image}@${digest}`];
    return { runtime: RUNTIME, flags, close: registry.close };
  } catch (error) {
    await registry.close();
    throw error;
  } finally {
    await debian.remove();
    await rm(home, { recursive: true, force: true });
  }
}

/** A small Debian built from this machine's package sources, once per test file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export interface DebianArchive {
  path: string;
  /** The hosts that apt has to reach. */
  hosts: string[];
  remove(): Promise<void>;
}

interface AptSource {
  uri: string;
  suite: string;
  components: string;
}

/** The first package source of apt, from sources.list(5) in either format. */
async function aptSource(): Promise<AptSource | null> {
  const folder = '/etc/apt/sources.list.d';
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.(sources|list)$/.test(name));
  const files = ['/etc/apt/sources.list', ...names.sort().map((name) => join(folder, name))];
  for (const file of files) {
    const content = await readFile(file, 'utf8').catch(() => '');
    const line = /^deb[ \t]+(?:\[[^\]]*\][ \t]+)?(\S+)[ \t]+(\S+)[ \t]+(.+)$/m.exec(content);
    if (line?.[1] && line[2] && line[3]) return { uri: line[1], suite: line[2], components: line[3] };
    const uri = /^URIs:\s*(\S+)/m.exec(content)?.[1];
    const suite = /^Suites:\s*(\S+)/m.exec(content)?.[1];
    const components = /^Components:\s*(.+)$/m.exec(content)?.[1] ?? 'main';
    if (uri && suite) return { uri, suite, components };
  }
  return null;
}

interface DebianOptions {
  /** Of mmdebstrap; the default is the smallest one with apt. */
  variant?: 'apt' | 'extract';
  /** A release; the default is that of this machine. */
  suite?: string;
  include?: readonly string[];
}

/** Builds it, or returns why it cannot be built here. */
export async function makeDebian({
  variant = 'apt',
  suite,
  include = [],
}: DebianOptions = {}): Promise<DebianArchive | string> {
  if (process.getuid?.() !== 0) return 'only root can build a Debian here';
  const source = await aptSource();
  if (source === null) return 'this machine has no Debian package sources';
  const wanted = suite ?? source.suite;
  const path = join(tmpdir(), `debian-${wanted}-${variant}-${process.pid}.tar`);
  const line = `deb ${source.uri} ${wanted} ${source.components}`;
  const added = include.map((name) => `--include=${name}`);
  // Nobody needs it after a power failure.
  const args = [`--variant=${variant}`, '--quiet', '--dpkgopt=force-unsafe-io', ...added, wanted, path, line];
  const child = spawn('mmdebstrap', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const words = text(child.stderr);
  try {
    const [code] = await once(child, 'close');
    if (code === 0) {
      return { path, hosts: [new URL(source.uri).hostname], remove: () => rm(path, { force: true }) };
    }
  } catch {
    return 'mmdebstrap is missing; `npm test` as root installs it';
  }
  await rm(path, { force: true });
  return `the mirror of this machine could not be used: ${(await words).trim().split('\n').at(-1)}`;
}

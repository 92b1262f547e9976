/** Docker's daemon, started by hand with a directory of its own: it shares nothing with one that this machine runs. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface DockerDaemon {
  /** `DOCKER_HOST`. */
  readonly host: string;
  /** Runs `docker`; resolves to its output. */
  docker(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Why these tests do not run; null if they do. A machine with Docker would otherwise spend minutes on them in `npm test`. */
export function lacksForDocker(): string | null {
  if (process.env['TEST_CONTAINER'] !== '1') return 'npm run test:container';
  if (process.getuid?.() !== 0) return 'root, to start dockerd';
  const missing = ['dockerd', 'containerd', 'docker', 'mmdebstrap'].filter((name) => !isInstalled(name));
  return missing.length === 0
    ? null
    : `${missing.join(', ')}; \`npm run test:container\` as root installs them`;
}

function isInstalled(program: string): boolean {
  return ['/usr/bin', '/usr/sbin', '/usr/local/bin'].some((directory) =>
    existsSync(join(directory, program)),
  );
}

/** Without a network of its own, since the machine's packet filter is not a test's to change. */
export async function startDocker(): Promise<DockerDaemon> {
  const home = await mkdtemp(join(tmpdir(), 'd-'));
  const host = `unix://${home}/docker.sock`;
  const env = { PATH: process.env['PATH'], DOCKER_HOST: host, HOME: home, DOCKER_BUILDKIT: '0' };
  const flags = [
    `--host=${host}`,
    `--data-root=${home}/data`,
    `--exec-root=${home}/exec`,
    `--pidfile=${home}/docker.pid`,
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--storage-driver=overlay2',
  ];
  // Its mounts end with it, however it ends; and it keeps a key in /etc/docker.
  const script = 'mkdir -p /etc/docker && mount -t tmpfs none /etc/docker && exec dockerd "$@"';
  const daemon = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', ...flags], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  daemon.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString('utf8')).slice(-4_000);
  });
  const closed = once(daemon, 'close');
  const docker = async (...args: string[]) => {
    const { stdout } = await run('docker', args, { env, maxBuffer: 1e8 });
    return stdout.trim();
  };
  while (
    !(await docker('version').then(
      () => true,
      () => false,
    ))
  ) {
    if (daemon.exitCode !== null) throw new Error(`dockerd has ended:\n${log}`);
    await delay(100);
  }
  return {
    host,
    docker,
    async close() {
      daemon.kill('SIGTERM');
      await closed;
      await rm(home, { recursive: true, force: true });
    },
  };
}

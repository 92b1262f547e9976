/** The packages that the engine needs on each distribution, and how to install them. */

export type DistroFamily = 'debian' | 'fedora' | 'arch' | 'alpine' | 'suse' | 'other';

export interface Distro {
  readonly family: DistroFamily;
  /** `PRETTY_NAME`, e.g. `Debian GNU/Linux 12 (bookworm)`. */
  readonly name: string;
}

/** What may be missing. */
export type Need = 'crun' | 'runc' | 'id-mapping' | 'compiler' | 'unshare' | 'usermod';

const PACKAGES: Record<Exclude<DistroFamily, 'other'>, Record<Need, readonly string[]>> = {
  debian: {
    crun: ['crun'],
    runc: ['runc'],
    'id-mapping': ['uidmap'],
    compiler: ['gcc', 'libc6-dev'],
    unshare: ['util-linux', 'mount'],
    usermod: ['passwd'],
  },
  fedora: {
    crun: ['crun'],
    runc: ['runc'],
    'id-mapping': ['shadow-utils'],
    compiler: ['gcc', 'glibc-static'],
    unshare: ['util-linux'],
    usermod: ['shadow-utils'],
  },
  arch: {
    crun: ['crun'],
    runc: ['runc'],
    'id-mapping': ['shadow'],
    compiler: ['gcc'],
    unshare: ['util-linux'],
    usermod: ['shadow'],
  },
  alpine: {
    crun: ['crun'],
    runc: ['runc'],
    'id-mapping': ['shadow-uidmap'],
    compiler: ['gcc', 'musl-dev', 'linux-headers'],
    unshare: ['util-linux'],
    usermod: ['shadow'],
  },
  suse: {
    crun: ['crun'],
    runc: ['runc'],
    'id-mapping': ['shadow'],
    compiler: ['gcc', 'glibc-devel-static'],
    unshare: ['util-linux'],
    usermod: ['shadow'],
  },
};

const FAMILIES: readonly (readonly [DistroFamily, readonly string[]])[] = [
  ['debian', ['debian', 'ubuntu']],
  ['fedora', ['fedora', 'rhel', 'centos', 'rocky', 'almalinux', 'amzn', 'ol']],
  ['arch', ['arch', 'manjaro', 'endeavouros']],
  ['alpine', ['alpine', 'postmarketos']],
  ['suse', ['suse', 'sles', 'opensuse', 'opensuse-leap', 'opensuse-tumbleweed']],
];

/** Parses os-release(5): `ID`, else the first known word of `ID_LIKE`. */
export function parseOsRelease(text: string): Distro {
  const value = (key: string): string => {
    const line = new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
    return line.trim().replace(/^(['"])(.*)\1$/, '$2');
  };
  const ids = [value('ID'), ...value('ID_LIKE').split(/\s+/)].map((id) => id.toLowerCase());
  const family = ids
    .map((id) => FAMILIES.find(([, members]) => members.includes(id))?.[0])
    .find((found) => found !== undefined);
  return { family: family ?? 'other', name: value('PRETTY_NAME') || value('ID') || 'Linux' };
}

/** The steps that install these packages without prompting; empty on an unknown distribution. */
export function installSteps(distro: Distro, need: Need): string[][] {
  if (distro.family === 'other') return [];
  const packages = PACKAGES[distro.family][need];
  switch (distro.family) {
    case 'debian':
      return [
        ['apt-get', 'update'],
        [
          'env',
          'DEBIAN_FRONTEND=noninteractive',
          'apt-get',
          'install',
          '-y',
          '--no-install-recommends',
          ...packages,
        ],
      ];
    case 'fedora':
      return [['dnf', 'install', '-y', ...packages]];
    case 'arch':
      return [['pacman', '-Sy', '--noconfirm', '--needed', ...packages]];
    case 'alpine':
      return [['apk', 'add', ...packages]];
    case 'suse':
      return [['zypper', '--non-interactive', 'install', ...packages]];
  }
}

/** Writes the files of an image that every sandbox needs: accounts, name resolution, and links to its CA. */
import type { RootTree } from './root-tree.ts';
import type { Unpacker } from './unpacker.ts';

const USER = 'vercel-sandbox';
const ID = '1000';

function lines(text: string | null): string[] {
  return (text ?? '').split('\n').filter((line) => line.trim() !== '');
}

/** Puts the sandbox's user before other accounts with the same number: programs show the first match. */
function withUser(text: string | null, root: string, user: string): string {
  const others = lines(text).filter((line) => line.split(':')[0] !== USER);
  const withRoot = others.some((line) => line.split(':')[0] === 'root') ? others : [root, ...others];
  const at = withRoot.findIndex((line) => line.split(':')[2] === ID);
  const place = at < 0 ? withRoot.length : at;
  return [...withRoot.slice(0, place), user, ...withRoot.slice(place), ''].join('\n');
}

/** The image's best shell; the conventional path if it has none. */
export function shellOf(tree: RootTree): string {
  const has = (name: string) => tree.shells.has(`bin/${name}`) || tree.shells.has(`usr/bin/${name}`);
  return has('bash') ? '/bin/bash' : '/bin/sh';
}

/** If only root has an id, apt cannot switch to its download user (apt.conf(5), APT::Sandbox). */
const APT_AS_ROOT = 'APT::Sandbox::User "root";\n';

/**
 * Writes the files. Replaces links in their place (usually into `/run`), since no service maintains the
 * targets.
 */
export async function writeEtc(unpacker: Unpacker, tree: RootTree, hasIds: boolean): Promise<void> {
  const shell = shellOf(tree);
  const files: Record<string, string> = {
    passwd: withUser(
      tree.text('etc/passwd'),
      `root:x:0:0:root:/root:${shell}`,
      `${USER}:x:${ID}:${ID}:Vercel Sandbox:/home/${USER}:${shell}`,
    ),
    group: withUser(tree.text('etc/group'), 'root:x:0:', `${USER}:x:${ID}:`),
    hostname: 'sandbox\n',
    hosts: '127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n',
    // The gateway answers at any address; this one is not assigned.
    'resolv.conf': 'nameserver 10.0.2.3\noptions timeout:5 attempts:2\n',
    ...(tree.hasApt && !hasIds && { 'apt/apt.conf.d/00sandbox': APT_AS_ROOT }),
    ...(tree.text('etc/nsswitch.conf') === null && {
      'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
    }),
  };
  await unpacker.step({ kind: 'directory', path: 'etc', mode: 0o755 });
  for (const [name, text] of Object.entries(files)) await unpacker.file(`etc/${name}`, text);
}

/** Links by which programs that have a CA store of their own find the CA of their sandbox. */
export interface CaLinks {
  /** Target of the link in place of every Java keystore. */
  readonly javaKeystore: string;
  /** Target of the link in place of every CA bundle, and where distributions keep bundles, below `/etc`. */
  readonly bundle: string;
  readonly bundlePaths: readonly string[];
  /** A program that keeps the CA in a bundle that is written again; `path` is below `/etc`. */
  readonly hook: { readonly path: string; readonly text: string };
  /** Further links, created where the image has nothing: paths below `/etc`, and targets. */
  readonly etc: readonly (readonly [path: string, target: string])[];
}

/** Links the CA stores of the image to those of the sandbox. */
export async function linkCaStores(unpacker: Unpacker, tree: RootTree, links: CaLinks): Promise<void> {
  for (const path of tree.javaKeystores)
    await unpacker.step({ kind: 'symlink', path, link: links.javaKeystore });
  for (const [path] of caBundles(tree, links))
    await unpacker.step({ kind: 'symlink', path, link: links.bundle });
  await unpacker.file(`etc/${links.hook.path}`, links.hook.text, 0o755);
  for (const [name, link] of links.etc) {
    const path = `etc/${name}`;
    if (!tree.foundFiles.has(path)) await unpacker.step({ kind: 'symlink', path, link });
  }
}

/** The CA certificates that the image brings, in PEM. */
export function caCertificates(tree: RootTree, links: CaLinks): string {
  return [...new Set(caBundles(tree, links).map(([, text]) => text))].join('\n');
}

function caBundles(tree: RootTree, links: CaLinks): [path: string, text: string][] {
  return links.bundlePaths.flatMap((name) => {
    const text = tree.text(`etc/${name}`);
    return text === null ? [] : [[`etc/${name}`, text] satisfies [string, string]];
  });
}

/** What may be asked twice. Everything not listed here is asked once. */

/** Ends of paths whose POST asks or sets, so that a second one changes nothing more. */
const REPEATABLE_POSTS = [
  /\/sessions\/[^/]+\/stop$/,
  /\/sessions\/[^/]+\/network-policy$/,
  /\/sessions\/[^/]+\/interactive$/,
  /\/sessions\/[^/]+\/fs\/(read|write|mkdir)$/,
];

/** Runs of commands, creations, snapshots, extensions and kills are not: each would happen twice. */
export function isRepeatable(method: string, pathname: string): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'DELETE') return true;
  return method === 'POST' && REPEATABLE_POSTS.some((pattern) => pattern.test(pathname));
}

/** Requests whose answer rightly takes long: a wait for a command's end, and the making of a sandbox or snapshot. */
export function mayTakeLong(method: string, url: URL): boolean {
  if (url.searchParams.get('wait') === 'true') return true;
  return method === 'POST' && /\/(sandboxes|snapshot|cmd|stop)$/.test(url.pathname);
}

/** Streams that may rightly be silent for long: what a command writes. */
export function mayBeSilent(pathname: string): boolean {
  return /\/cmd(\/[^/]+\/logs)?$/.test(pathname);
}

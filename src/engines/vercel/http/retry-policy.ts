/** Which requests may be sent twice. Everything not listed here is sent once. */

/** Suffixes of paths whose POST reads or sets, so that a second one changes nothing further. */
const REPEATABLE_POSTS = [
  /\/sessions\/[^/]+\/stop$/,
  /\/sessions\/[^/]+\/network-policy$/,
  /\/sessions\/[^/]+\/interactive$/,
  /\/sessions\/[^/]+\/fs\/(read|write|mkdir)$/,
];

/** Command starts, creations, snapshots, extensions and kills are excluded: each would happen twice. */
export function isRepeatable(method: string, pathname: string): boolean {
  if (['GET', 'HEAD', 'DELETE'].includes(method)) return true;
  // Sets what it names to the same values again.
  if (method === 'PATCH') return true;
  return method === 'POST' && REPEATABLE_POSTS.some((pattern) => pattern.test(pathname));
}

/**
 * Requests whose response legitimately takes long: waiting for a command's end, creating a sandbox or
 * snapshot.
 */
export function mayTakeLong(method: string, url: URL): boolean {
  if (url.searchParams.get('wait') === 'true') return true;
  return method === 'POST' && /\/(sandboxes|snapshot|cmd|stop)$/.test(url.pathname);
}

/** Streams that may legitimately be silent for long: command output. */
export function mayBeSilent(pathname: string): boolean {
  return /\/cmd(\/[^/]+\/logs)?$/.test(pathname);
}

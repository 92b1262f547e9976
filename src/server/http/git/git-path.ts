/** Paths of git's smart HTTP protocol (gitprotocol-http(5)). */

export const GIT_PATH = '/git/';

export interface GitPath {
  /** Of the sandbox. */
  name: string;
  /** Of the repository, relative to the workspace; usually empty. */
  repository: string;
  endpoint: 'info/refs' | 'git-upload-pack' | 'git-receive-pack';
  /** What `info/refs` is asked for; null if it names no service, as older clients do. */
  service: string | null;
}

/** Null if it is no such path. */
export function parseGitPath(url: string): GitPath | null {
  const [path = '', query = ''] = url.split('?');
  if (!path.startsWith(GIT_PATH)) return null;
  const [name = '', ...segments] = path.slice(GIT_PATH.length).split('/');
  const last = segments.pop();
  const endpoint = last === 'refs' && segments.pop() === 'info' ? 'info/refs' : last;
  if (endpoint !== 'info/refs' && endpoint !== 'git-upload-pack' && endpoint !== 'git-receive-pack')
    return null;
  const repository = decoded(segments.join('/'));
  if (repository === null) return null;
  return { name, repository, endpoint, service: new URLSearchParams(query).get('service') };
}

/** Null for what no path in a sandbox can be. */
function decoded(path: string): string | null {
  try {
    const text = decodeURIComponent(path);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

import { GIT_PATH } from './git/git-path.ts';

/** What the listener answers, besides previews, which have host names of their own. */
export type Route = 'health' | 'git' | 'metrics' | 'metadata' | 'mcp' | 'unknown';

const PATHS: Readonly<Record<string, Route>> = { '/healthz': 'health', '/metrics': 'metrics', '/mcp': 'mcp' };

/** By the path of a request. `isMetadata`: whether the protected resource has its metadata there. */
export function routeOf(url: string, isMetadata: (path: string) => boolean): Route {
  const [path = ''] = url.split('?');
  if (path.startsWith(GIT_PATH)) return 'git';
  if (isMetadata(path)) return 'metadata';
  return (Object.hasOwn(PATHS, path) && PATHS[path]) || 'unknown';
}

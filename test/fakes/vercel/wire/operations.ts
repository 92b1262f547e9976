/** The calls of the API: the meaning of the SDK's paths and methods. */

export const OPERATIONS = [
  'sandbox.create',
  'sandbox.get',
  'sandbox.list',
  'sandbox.update',
  'sandbox.delete',
  'session.list',
  'session.get',
  'session.stop',
  'session.extend-timeout',
  'session.network-policy',
  'session.snapshot',
  'session.interactive',
  'command.run',
  'command.get',
  'command.wait',
  'command.kill',
  'command.logs',
  'file.mkdir',
  'file.write',
  'file.read',
  'snapshot.get',
  'snapshot.list',
  'snapshot.delete',
] as const;

export type Operation = (typeof OPERATIONS)[number];

const SESSION = '/v2/sandboxes/sessions/([^/]+)';

/** The first match wins: a sandbox's name is any word that is not part of the API. */
const ROUTES: readonly [method: string, pattern: RegExp, operation: Operation][] = [
  ['POST', /^\/v[23]\/sandboxes$/, 'sandbox.create'],
  ['GET', /^\/v2\/sandboxes$/, 'sandbox.list'],
  ['GET', /^\/v2\/sandboxes\/sessions$/, 'session.list'],
  ['GET', new RegExp(`^${SESSION}$`), 'session.get'],
  ['POST', new RegExp(`^${SESSION}/stop$`), 'session.stop'],
  ['POST', new RegExp(`^${SESSION}/extend-timeout$`), 'session.extend-timeout'],
  ['POST', new RegExp(`^${SESSION}/network-policy$`), 'session.network-policy'],
  ['POST', new RegExp(`^${SESSION}/snapshot$`), 'session.snapshot'],
  ['POST', new RegExp(`^${SESSION}/interactive$`), 'session.interactive'],
  ['POST', new RegExp(`^${SESSION}/cmd$`), 'command.run'],
  ['GET', new RegExp(`^${SESSION}/cmd/([^/]+)$`), 'command.get'],
  ['POST', new RegExp(`^${SESSION}/cmd/([^/]+)/kill$`), 'command.kill'],
  ['GET', new RegExp(`^${SESSION}/cmd/([^/]+)/logs$`), 'command.logs'],
  ['POST', new RegExp(`^${SESSION}/fs/mkdir$`), 'file.mkdir'],
  ['POST', new RegExp(`^${SESSION}/fs/write$`), 'file.write'],
  ['POST', new RegExp(`^${SESSION}/fs/read$`), 'file.read'],
  ['GET', /^\/v2\/sandboxes\/snapshots$/, 'snapshot.list'],
  ['GET', /^\/v2\/sandboxes\/snapshots\/([^/]+)$/, 'snapshot.get'],
  ['DELETE', /^\/v2\/sandboxes\/snapshots\/([^/]+)$/, 'snapshot.delete'],
  ['GET', /^\/v2\/sandboxes\/([^/]+)$/, 'sandbox.get'],
  ['PATCH', /^\/v2\/sandboxes\/([^/]+)$/, 'sandbox.update'],
  ['DELETE', /^\/v2\/sandboxes\/([^/]+)$/, 'sandbox.delete'],
];

export interface Routed {
  operation: Operation;
  /** The parts of the path that name things, decoded. */
  names: string[];
}

/** The operation of a request, or null if the API has no such call. */
export function route(method: string, url: URL): Routed | null {
  const path = url.pathname.replace(/^\/api(?=\/)/, '');
  for (const [wanted, pattern, operation] of ROUTES) {
    const match = method === wanted ? pattern.exec(path) : null;
    if (match === null) continue;
    const names = match.slice(1).map((part) => decodeURIComponent(part));
    const waits = operation === 'command.get' && url.searchParams.get('wait') === 'true';
    return { operation: waits ? 'command.wait' : operation, names };
  }
  return null;
}

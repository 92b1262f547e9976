import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from '../../shared/network/loopback.ts';
import type { Refusal } from './reply.ts';

export interface HostRules {
  /** Whether only this machine can reach the listener. */
  readonly loopback: boolean;
  /** Host names that requests may carry, in lower case. */
  readonly names: readonly string[];
  /** Web origins that may call besides those with an allowed host. */
  readonly origins: readonly string[];
}

/**
 * Refuses what a web page could send: with DNS rebinding `Host` carries the page's own name, and `Origin`
 * names the page. Addresses cannot be rebound, so any of them is a valid host on a listener that is not
 * limited to this machine.
 */
export function checkHost(headers: IncomingHttpHeaders, rules: HostRules): Refusal | null {
  const host = hostOf(headers.host ?? '');
  if (host === null || !isAllowed(host, rules)) {
    const message = `Host ${JSON.stringify((headers.host ?? '').slice(0, 100))} is not allowed; the operator allows names with --allow-host.`;
    return { status: 403, message };
  }
  const { origin } = headers;
  if (origin === undefined || isAllowedOrigin(origin, rules)) return null;
  const message = `Origin ${JSON.stringify(origin.slice(0, 100))} is not allowed; the operator allows origins with --allow-origin.`;
  return { status: 403, message };
}

function isAllowedOrigin(origin: string, rules: HostRules): boolean {
  if (rules.origins.includes(origin)) return true;
  if (!/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const name = new URL(origin).hostname.replace(/^\[(.*)\]$/, '$1');
  // A page at another address of the network is a stranger.
  return rules.names.includes(name) || isLoopback(name);
}

function isAllowed(host: string, rules: HostRules): boolean {
  if (rules.names.includes(host)) return true;
  return isIP(host) !== 0 && (!rules.loopback || isLoopback(host));
}

/** The host without its port, in lower case; null if it is malformed. */
function hostOf(header: string): string | null {
  const [, bracketed, plain] =
    /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::\d{1,5})?$/i.exec(header) ?? [];
  return (bracketed ?? plain)?.toLowerCase() ?? null;
}

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
  const host = parseHost(headers.host ?? '');
  if (host === null || !isAllowed(host.name, rules)) {
    const message = `Host ${JSON.stringify((headers.host ?? '').slice(0, 100))} is not allowed; the operator allows names with --allow-host.`;
    return { status: 403, message };
  }
  const { origin } = headers;
  if (origin === undefined || isAllowedOrigin(origin, host, rules)) return null;
  const message = `Origin ${JSON.stringify(origin.slice(0, 100))} is not allowed; the operator allows origins with --allow-origin.`;
  return { status: 403, message };
}

/**
 * A loopback address on another port may be a program in a sandbox, whose exposed ports are there. A page at
 * another address of the network is a stranger.
 */
function isAllowedOrigin(origin: string, host: Host, rules: HostRules): boolean {
  if (rules.origins.includes(origin)) return true;
  if (!/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const { hostname, port, protocol } = new URL(origin);
  const name = hostname.replace(/^\[(.*)\]$/, '$1');
  if (!isLoopback(name)) return rules.names.includes(name);
  const usual = protocol === 'https:' ? '443' : '80';
  return isLoopback(host.name) && (port || usual) === (host.port ?? usual);
}

function isAllowed(host: string, rules: HostRules): boolean {
  if (rules.names.includes(host)) return true;
  return isIP(host) !== 0 && (!rules.loopback || isLoopback(host));
}

/** What `Host` holds. */
interface Host {
  /** In lower case, without brackets. */
  readonly name: string;
  /** Null if the header names none. */
  readonly port: string | null;
}

/** Null if the header is malformed. */
function parseHost(header: string): Host | null {
  const [, bracketed, plain, port = null] =
    /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::(\d{1,5}))?$/i.exec(header) ?? [];
  const name = bracketed ?? plain;
  return name === undefined ? null : { name: name.toLowerCase(), port };
}

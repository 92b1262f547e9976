/** What a program in a sandbox learns of who visits it. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, isIPv6 } from 'node:net';
import type { HttpSettings } from '../../../config/config.ts';

/** Besides `X-Forwarded-*`. */
const CLAIMS = ['forwarded', 'x-real-ip'];

/**
 * Sets the `X-Forwarded-*` headers of a request. What a reverse proxy at a trusted address says is passed on; from
 * anybody else it is removed, since anybody could write it.
 */
export class ForwardedHeaders {
  readonly #trusted = new BlockList();

  constructor(trusted: HttpSettings['trustedProxies']) {
    for (const { address, prefix } of trusted)
      this.#trusted.addSubnet(address, prefix, isIPv6(address) ? 'ipv6' : 'ipv4');
  }

  set({ headers, socket }: IncomingMessage): void {
    const peer = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
    if (!this.#trusts(peer)) removeClaims(headers);
    const { host: ownHost = '' } = headers;
    const {
      'x-forwarded-for': before,
      'x-forwarded-host': host = ownHost,
      'x-forwarded-proto': proto = 'http',
      'x-forwarded-port': port = portOf(String(host), String(proto)),
    } = headers;
    Object.assign(headers, {
      'x-forwarded-for': before === undefined ? peer : `${before}, ${peer}`,
      'x-forwarded-host': host,
      'x-forwarded-proto': proto,
      'x-forwarded-port': port,
    });
  }

  #trusts(peer: string): boolean {
    return peer !== '' && this.#trusted.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4');
  }
}

function removeClaims(headers: IncomingHttpHeaders): void {
  for (const name of Object.keys(headers))
    if (name.startsWith('x-forwarded-') || CLAIMS.includes(name)) delete headers[name];
}

function portOf(host: string, proto: string): string {
  return /:(\d{1,5})$/.exec(host)?.[1] ?? (proto === 'https' ? '443' : '80');
}

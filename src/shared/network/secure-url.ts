import { isLoopback } from './loopback.ts';

/** Whether nobody between here and the server can change what it answers. */
export function isSecureUrl({ protocol, hostname }: URL): boolean {
  const isOnThisMachine = isLoopback(hostname.replace(/^\[(.*)\]$/, '$1'));
  return protocol === 'https:' || (protocol === 'http:' && isOnThisMachine);
}

/** TLS to the outside: to addresses that the gateway resolved for the name, and verified. */
import { connect, type TLSSocket } from 'node:tls';
import { systemErrorCode } from '../../shared/errors.ts';
import type { GatewayContext } from '../connection/context.ts';
import { chooseAddress, DialError, dialAddress } from '../connection/dial.ts';
import type { TlsKeyProvider } from '../connection/tls-trust.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';

/** Long, since either side may be a heavily loaded machine. */
const HANDSHAKE_MS = 60_000;
/** The OpenSSL and Node error codes for an untrusted certificate. */
const CERTIFICATE_FAULT =
  /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY|DECRYPT)|ISSUER|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH|PATH_LENGTH/;

/**
 * Connects to a name that the policy allows.
 * @param protocols the ALPN protocols to offer; none: ALPN is left out
 * @throws NotDialled for a refused address, a server that does not respond, or an untrusted certificate
 */
export async function dialTls(
  tracked: TrackedConnection,
  context: GatewayContext,
  keys: TlsKeyProvider,
  name: string,
  protocols: readonly string[],
): Promise<TLSSocket> {
  const { port } = tracked.connection;
  const address = await chooseAddress(context, name, tracked.connection);
  const socket = await dialAddress(address, port);
  tracked.setDestination(address, socket);
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      servername: name,
      secureContext: keys.upstream(),
      ...(protocols.length > 0 && { ALPNProtocols: [...protocols] }),
    });
    const fail = (error: unknown) => {
      clearTimeout(timer);
      secure.destroy();
      reject(new DialError(faultOf(error, `${name}:${port}`), null, error));
    };
    const timer = setTimeout(fail, HANDSHAKE_MS, null);
    secure.once('error', fail);
    secure.once('close', () => fail(null));
    secure.once('secureConnect', () => {
      clearTimeout(timer);
      secure.off('error', fail);
      secure.removeAllListeners('close');
      secure.on('error', () => secure.destroy());
      resolve(secure);
    });
  });
}

function faultOf(error: unknown, server: string): string {
  const code = systemErrorCode(error);
  if (code !== null && CERTIFICATE_FAULT.test(code))
    return `the certificate of ${server} is not trusted (${code})`;
  return `TLS with ${server} failed: ${code ?? 'it ended the handshake'}`;
}

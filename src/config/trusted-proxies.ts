import { isIP } from 'node:net';
import { ConfigError, type Setting } from './setting.ts';

/** The addresses that share their first `prefix` bits with this one. */
export interface AddressRange {
  readonly address: string;
  readonly prefix: number;
}

/** An address, or a range of them in CIDR notation. */
export function trustedProxy(setting: Setting): AddressRange {
  const [address = '', bits, ...rest] = setting.value.split('/');
  const longest = isIP(address) === 6 ? 128 : 32;
  const prefix = bits === undefined ? longest : /^\d{1,3}$/.test(bits) ? Number(bits) : 0;
  const isAddress = isIP(address) !== 0 && !address.includes('%');
  if (isAddress && prefix >= 1 && prefix <= longest && rest.length === 0) return { address, prefix };
  throw new ConfigError(
    setting,
    'is not the address of a reverse proxy; use the form 127.0.0.1, ::1 or 10.1.0.0/16.',
  );
}

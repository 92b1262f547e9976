import { ConfigError, type Setting } from './setting.ts';

/** Without a trailing slash. */
export function baseUrl(setting: Setting): string {
  const url = parseHttpUrl(setting.value);
  if (url !== null && url.search === '' && url.hash === '') return url.href.replace(/\/$/, '');
  throw new ConfigError(setting, 'is not a base URL; use one such as https://sandbox.example.');
}

/** Null for anything but an http or https URL without credentials. */
export function parseHttpUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  return isHttp && url.username === '' && url.password === '' ? url : null;
}

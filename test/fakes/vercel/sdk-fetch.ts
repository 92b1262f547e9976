/** Redirects the SDK's requests to the stand-in and changes nothing else. */

const SERVICE = 'https://vercel.com/api';

export function fetchFrom(baseUrl: string): typeof globalThis.fetch {
  return (input, init) => {
    const requested = input instanceof Request ? input.url : String(input);
    const plain = { ...init };
    // Node's own fetch rejects the dispatcher of another undici version.
    Reflect.deleteProperty(plain, 'dispatcher');
    return globalThis.fetch(requested.replace(SERVICE, baseUrl), plain);
  };
}

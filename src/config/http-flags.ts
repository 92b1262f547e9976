import type { FlagSpec } from './flag-spec.ts';

/** The flags of `--transport http`. */
export const HTTP_FLAGS = [
  {
    name: 'host',
    value: 'ADDRESS',
    repeatable: false,
    default: '127.0.0.1',
    description:
      'Address on which `--transport http` listens. An address that other machines can reach needs tokens or `--oauth-issuer`.',
  },
  {
    name: 'port',
    value: 'PORT',
    repeatable: false,
    default: '8931',
    description: 'Port on which `--transport http` listens; 0 chooses a free one.',
  },
  {
    name: 'public-url',
    value: 'URL',
    repeatable: false,
    default: 'the address it listens on',
    description:
      'URL under which clients reach the server, without `/mcp`, if a reverse proxy is in front: `https://sandbox.example`.',
  },
  {
    name: 'store',
    value: 'STORE',
    repeatable: false,
    default: 'none',
    description:
      'What several replicas with `--engine vercel` share, so that any of them serves any request: `redis://host:6379/0`, `rediss://…`, or a directory for replicas on one machine.',
  },
  {
    name: 'replica-url',
    value: 'URL',
    repeatable: false,
    default: 'the address it listens on',
    description: 'URL under which the other replicas reach this one: `http://10.0.0.3:8931`. For `--store`.',
  },
  {
    name: 'allow-host',
    value: 'NAME',
    repeatable: true,
    default: '`localhost` and the name in `--public-url`',
    description:
      'Additional host name to accept in `Host`; others get 403. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'allow-origin',
    value: 'ORIGIN',
    repeatable: true,
    default: "the server's own host names",
    description:
      'Web origin that may call the server from a browser: `https://chat.example`. Pages of this machine on other ports need it too. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'trusted-proxy',
    value: 'ADDRESS',
    repeatable: true,
    default: 'none',
    description:
      'Address of a reverse proxy, or a range such as `10.1.0.0/16`, whose `X-Forwarded-*` headers previews pass on; those of others are replaced. Repeatable; separated by `,` in the environment.',
  },
  {
    name: 'auth-tokens-file',
    value: 'FILE',
    repeatable: false,
    default: 'none',
    description:
      'File of bearer tokens, one `name:token` per line; the name is the principal. `SANDBOX_MCP_AUTH_TOKENS` holds the same, separated by `,`.',
  },
  {
    name: 'oauth-issuer',
    value: 'URL',
    repeatable: false,
    default: 'none',
    description:
      'Issuer of an OAuth authorization server whose JWT access tokens are accepted. Each subject is a principal. https, except on loopback.',
  },
  {
    name: 'oauth-jwks-url',
    value: 'URL',
    repeatable: false,
    default: "from the issuer's metadata",
    description: 'Key set that signs the access tokens, for an issuer without metadata.',
  },
  {
    name: 'oauth-audience',
    value: 'URI',
    repeatable: false,
    default: 'the public URL with `/mcp`',
    description: 'Resource identifier of this server, which access tokens must name as their audience.',
  },
  {
    name: 'preview-host',
    value: 'NAME',
    repeatable: false,
    default: '`localhost`, or `off` with `--public-url`',
    description:
      'Exposed ports are reached at random subdomains of this name, on the same port. `off`: only on the loopback interface.',
  },
  {
    name: 'preview-access',
    value: 'WHO',
    repeatable: false,
    default: 'link',
    description:
      'Who may visit exposed ports: `link`, everybody who knows the URL, or `owner`, with a token.',
  },
  {
    name: 'max-sessions',
    value: 'COUNT',
    repeatable: false,
    default: '1000',
    description: 'Maximum number of open HTTP sessions.',
  },
  {
    name: 'max-principal-sessions',
    value: 'COUNT',
    repeatable: false,
    default: '250',
    description: 'Maximum number of open HTTP sessions per principal.',
  },
  {
    name: 'session-idle',
    value: 'DURATION',
    repeatable: false,
    default: '30m',
    description: 'An HTTP session without requests and open streams ends after this time.',
  },
  {
    name: 'rate-limit',
    value: 'CALLS',
    repeatable: false,
    default: '6000',
    description: 'Maximum number of HTTP requests per minute and principal, or `off`.',
  },
] as const satisfies readonly FlagSpec[];

/** The operator's secrets from the environment. No message contains a value: it may be the secret itself. */
import { normalizePattern } from '../shared/domains.ts';
import { SECRET_NAME, type Secret } from '../shared/secrets.ts';
import { ConfigError } from './setting.ts';

const PREFIX = 'SANDBOX_MCP_SECRET_';
const SUFFIX = /_(DOMAINS|ENV)$/;

/**
 * Reads every `SANDBOX_MCP_SECRET_NAME` with its `_DOMAINS` (comma-separated) and `_ENV`. Empty variables
 * count as unset.
 *
 * @throws ConfigError naming the variable that is invalid
 */
export function secretSettings(env: Readonly<Record<string, string | undefined>>): Secret[] {
  const given = new Map<string, string>();
  for (const [variable, value] of Object.entries(env)) {
    if (variable.startsWith(PREFIX) && value !== undefined && value !== '')
      given.set(variable.slice(PREFIX.length), value);
  }
  const secrets: Secret[] = [];
  for (const [name, value] of given) {
    const suffix = SUFFIX.exec(name);
    if (suffix !== null) requireSecret(given, name, name.slice(0, suffix.index));
    else secrets.push(secretOf(given, name, value));
  }
  return secrets;
}

function secretOf(given: ReadonlyMap<string, string>, name: string, value: string): Secret {
  if (!SECRET_NAME.test(name)) {
    throw problem(name, 'is not a valid secret name; use capital letters, digits and _ only.');
  }
  if (value.includes('\0')) throw problem(name, 'contains a NUL character; remove it.');
  const domains = (given.get(`${name}_DOMAINS`) ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => domainOf(`${name}_DOMAINS`, text));
  return { name, value, domains, env: envOf(`${name}_ENV`, given.get(`${name}_ENV`)) };
}

function domainOf(name: string, text: string): string {
  const pattern = normalizePattern(text);
  if (pattern !== null) return pattern;
  throw problem(name, 'contains an invalid domain; use a list such as api.example.com,*.example.org.');
}

function envOf(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false' || text === '0') return false;
  if (text === 'true' || text === '1') return true;
  throw problem(name, 'is not valid; valid values are true and false.');
}

/** A secret whose own name has such an ending would be taken for a setting of another secret. */
function requireSecret(given: ReadonlyMap<string, string>, name: string, secret: string): void {
  if (given.has(secret)) return;
  throw problem(
    name,
    `belongs to ${PREFIX}${secret}, which is not set. A secret's name cannot end in _DOMAINS or _ENV.`,
  );
}

function problem(name: string, text: string): ConfigError {
  return new ConfigError({ origin: PREFIX + name, value: null }, text);
}

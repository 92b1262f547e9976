/** The operator's secrets: filled into templates, and masked in all output. */
import { matchesPattern } from './domains.ts';
import { SandboxError } from './errors.ts';

/** One secret as configured by the operator. */
export interface Secret {
  /** As in `${secret:NAME}`. */
  readonly name: string;
  readonly value: string;
  /** Normalized domain patterns that it may be sent to; if empty, it may not be sent anywhere. */
  readonly domains: readonly string[];
  /** Whether programs in a sandbox may read it from their environment. */
  readonly env: boolean;
}

/** Valid names of secrets. */
export const SECRET_NAME: RegExp = /^[A-Z][A-Z0-9_]*$/;

/** `${secret:NAME}`, or an unterminated beginning of one. */
const MENTION = /\$\{secret:([^}]*)(\}?)/g;
const MASK = '***';
/** Shorter values are too common in ordinary text to be masked. */
const MIN_MASKED = 6;

/** The operator's configuration of a secret. */
function variable(name: string, suffix = ''): string {
  return `SANDBOX_MCP_SECRET_${name}${suffix}`;
}

/** The values are private to the class, so that serialising or inspecting a store reveals none of them. */
export class SecretStore {
  readonly #secrets: ReadonlyMap<string, Secret>;
  /** Longest first, so that masking one that is part of another leaves no remainder. */
  readonly #masked: readonly string[];

  constructor(secrets: readonly Secret[] = []) {
    this.#secrets = new Map(secrets.map((secret) => [secret.name, secret]));
    this.#masked = secrets
      .map(({ value }) => value)
      .filter((value) => value.length >= MIN_MASKED)
      .sort((a, b) => b.length - a.length);
  }

  /** The names, in no particular order. */
  get names(): string[] {
    return [...this.#secrets.keys()];
  }

  /**
   * Fills in every `${secret:NAME}` of a text that is sent to a domain.
   *
   * @param domain normalized (`normalizeName`); for a pattern, every matching name has to be one of the
   *   secret's domains
   * @throws `invalid_argument` for a malformed reference or an unknown secret, `permission` for another
   *   domain
   */
  fill(template: string, domain: string): string {
    return this.#fill(template, ({ name, value, domains }) => {
      if (domains.some((pattern) => matchesPattern(pattern, domain))) return value;
      const allowed = domains.length === 0 ? 'none' : domains.join(', ');
      throw new SandboxError('permission', `Secret ${name} may not be sent to ${domain}.`, {
        hint: `The operator of the server lists its domains in ${variable(name, '_DOMAINS')}; currently: ${allowed}.`,
        details: { secret: name, domain, domains },
      });
    });
  }

  /**
   * Fills in every `${secret:NAME}` of a text for the environment of a program in a sandbox.
   *
   * @throws `invalid_argument` as `fill`, `permission` for a secret that sandboxes may not read
   */
  fillEnv(template: string): string {
    return this.#fill(template, ({ name, value, env }) => {
      if (env) return value;
      throw new SandboxError('permission', `Secret ${name} may not be read inside a sandbox.`, {
        hint:
          `Send it in a header instead, with network_policy.rules. Only the operator of the server can ` +
          `allow it in env, with ${variable(name, '_ENV')}=true.`,
        details: { secret: name },
      });
    });
  }

  /** `fillEnv` for every value of an environment. */
  fillEnvironment(env: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, this.fillEnv(value)]));
  }

  /**
   * Masks the values of secrets in a text, except those shorter than six characters, which could be ordinary
   * text.
   */
  mask(text: string): string {
    return this.#masked.reduce((masked, value) => masked.replaceAll(value, MASK), text);
  }

  /** True if there is anything for `mask` to look for. */
  get masks(): boolean {
    return this.#masked.length > 0;
  }

  #fill(template: string, permit: (secret: Secret) => string): string {
    return template.replace(MENTION, (_mention, name: string, end: string) => {
      if (end === '' || !SECRET_NAME.test(name)) throw malformed(name);
      const secret = this.#secrets.get(name);
      if (secret === undefined) throw this.#unknown(name);
      return permit(secret);
    });
  }

  #unknown(name: string): SandboxError {
    const known = this.#secrets.size === 0 ? 'none' : this.names.join(', ');
    return new SandboxError('invalid_argument', `There is no secret ${name.slice(0, 100)}.`, {
      hint: `The operator of the server sets ${variable(name.slice(0, 100))} and its _DOMAINS; available secrets: ${known}.`,
      details: { secret: name.slice(0, 100), known: this.names },
    });
  }
}

/** True if a text references a secret, whether or not it exists. */
export function mentionsSecret(template: string): boolean {
  return template.includes('${secret:');
}

function malformed(name: string): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `${JSON.stringify(`\${secret:${name.slice(0, 40)}`)} is not a valid secret reference.`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how a secret is mentioned
    { hint: 'Use ${secret:NAME} with capital letters, digits and _, e.g. ${secret:GITHUB_TOKEN}.' },
  );
}

import type { SandboxSource } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { redactText } from '../../shared/redact.ts';

const MAX_URL = 4_096;
const MAX_REVISION = 250;
const MAX_CREDENTIAL = 4_096;
const PROTOCOLS = ['https:', 'http:'];
/**
 * What a ref name cannot contain (git-check-ref-format(1)), so that a revision is never a pattern or an
 * option.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const NO_REVISION = /^[-/.]|[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|[/.]$|\.lock$|^@$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const CONTROLS = /[\u0000-\u001f\u007f]/;

/**
 * A source as engines accept it: with a normalized http or https URL without credentials.
 *
 * @throws `invalid_argument` naming the value
 */
export function resolveSource(source: SandboxSource | null): SandboxSource | null {
  if (source === null || source.type === 'snapshot') return source;
  const url = resolveUrl(source.url);
  if (source.type === 'tarball') return { type: source.type, url };
  const { revision, username, password } = source;
  if (
    revision !== undefined &&
    (revision.length > MAX_REVISION || revision === '' || NO_REVISION.test(revision))
  ) {
    throw invalid(
      `source.revision is ${JSON.stringify(revision.slice(0, 100))}, which is not a valid branch, tag or commit`,
      'Use a branch, a tag or a commit, such as main, v1.2.0 or 3f2a9c1.',
    );
  }
  for (const [name, value] of Object.entries({ username, password })) {
    if (value === undefined || (value !== '' && value.length <= MAX_CREDENTIAL && !CONTROLS.test(value)))
      continue;
    throw invalid(
      `source.${name} is empty, too long or contains control characters`,
      `Correct or leave out source.${name}.`,
    );
  }
  if (username?.includes(':') === true) {
    throw invalid('source.username contains a colon', 'Pass what follows the colon as source.password.');
  }
  return { ...source, url };
}

function resolveUrl(text: string): string {
  // Checked before any message quotes it: a URL that cannot be parsed may still contain a password.
  const shown = JSON.stringify(redactText(text).slice(0, 200));
  const url = URL.canParse(text) && text.length <= MAX_URL && !CONTROLS.test(text) ? new URL(text) : null;
  if (url === null || !PROTOCOLS.includes(url.protocol) || url.hostname === '') {
    throw invalid(
      `source.url is ${shown}, which is not an http or https URL`,
      'Use a URL such as https://example.com/repository.git; instead of an ssh address, use the https URL of the same repository.',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(
      `source.url contains credentials (${shown})`,
      'Pass them as source.username and source.password with a source of type git, so that they never reach the sandbox.',
    );
  }
  return url.href;
}

function invalid(problem: string, hint: string): SandboxError {
  return new SandboxError('invalid_argument', `${problem}.`, { hint });
}

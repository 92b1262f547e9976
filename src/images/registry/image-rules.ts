/** Which images an agent may name: `--images`. */
import { SandboxError } from '../../shared/errors.ts';
import { canonicalReference, type ImageReference, parseReference } from './reference.ts';

/** One entry: a registry, a path below one, or one image with its tag or digest. */
interface ImageRule {
  text: string;
  /** As in a canonical reference. */
  prefix: string;
  exact: boolean;
}

/** Null if the text is not a rule. */
function parseRule(text: string): ImageRule | null {
  const isRegistry =
    !text.includes('/') && /[.:]|^localhost$/.test(text) && parseReference(`${text}/x`) !== null;
  // `registry.example:5000` is a registry; `python:3.13` is an image, since a port has digits alone.
  if (isRegistry && (!text.includes(':') || /:\d{2,5}$/.test(text))) {
    const { registry } = parseReference(`${text}/x`) ?? { registry: text };
    if (registry === text) return { text, prefix: `${text}/`, exact: false };
  }
  const reference = parseReference(text);
  if (reference === null) return null;
  const canonical = canonicalReference(reference);
  const hasTag = text.includes('@') || text.slice(text.lastIndexOf('/') + 1).includes(':');
  return hasTag
    ? { text, prefix: canonical, exact: true }
    : { text, prefix: canonical.slice(0, canonical.lastIndexOf(':')), exact: false };
}

function requireRule(text: string): ImageRule {
  const rule = parseRule(text);
  if (rule !== null) return rule;
  throw new SandboxError(
    'invalid_argument',
    `--images: ${JSON.stringify(text.slice(0, 200))} is neither a registry nor an image.`,
    {
      hint: 'Use names such as registry.example, registry.example/team, python or python:3.13-slim.',
    },
  );
}

export class ImageRules {
  readonly #rules: readonly ImageRule[] | null;

  /**
   * @param texts null: every image of a public registry
   * @throws `invalid_argument`
   */
  constructor(texts: readonly string[] | null) {
    this.#rules = texts === null ? null : texts.map(requireRule);
  }

  /** True if the operator named it, so that its registry may also be in the private network. */
  isListed(reference: ImageReference): boolean {
    const canonical = canonicalReference(reference);
    return (this.#rules ?? []).some(({ prefix, exact }) => {
      if (exact) return canonical === prefix;
      const rest = canonical.slice(prefix.length);
      return canonical.startsWith(prefix) && (prefix.endsWith('/') || /^[/:@]/.test(rest));
    });
  }

  /** @throws `permission` if the agent may not use this image */
  require(reference: ImageReference): void {
    if (this.#rules === null || this.isListed(reference)) return;
    throw new SandboxError('permission', `Image ${canonicalReference(reference)} is not allowed here.`, {
      hint: `Allowed with --images: ${this.#rules.map(({ text }) => text).join(', ') || 'none'}.`,
    });
  }
}

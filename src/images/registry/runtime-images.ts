/** The short names of runtimes (`node24`, `python3.13`) and the images that they stand for. */
import { isExplicitReference } from './reference.ts';

/**
 * The official images of a program, by its version; the tag names the distribution, which is part of the
 * choice.
 */
const OFFICIAL: readonly [name: RegExp, image: (version: string) => string][] = [
  [/^node([1-9]\d?)$/, (version) => `node:${version}-bookworm-slim`],
  [/^python(3\.\d{1,2})$/, (version) => `python:${version}-slim-bookworm`],
];

/**
 * The image for the name of a runtime, null if there is none.
 * @param own the operator's table, which wins
 */
export function imageOfRuntime(name: string, own: ReadonlyMap<string, string>): string | null {
  const chosen = own.get(name);
  if (chosen !== undefined) return chosen;
  for (const [pattern, image] of OFFICIAL) {
    const version = pattern.exec(name)?.[1];
    if (version !== undefined) return image(version);
  }
  return isExplicitReference(name) ? name : null;
}

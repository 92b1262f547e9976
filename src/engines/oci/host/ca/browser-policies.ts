/**
 * Managed policies that make browsers, which have CA stores of their own, trust the sandbox's CA as well.
 * Chromium's takes the certificate itself, Firefox's the path of a file.
 */
import { CA_DIR, CA_FILES } from './ca-locations.ts';

/** Where browsers look for policies, below `/etc`, and the files in `CA_DIR` to link there. */
const POLICY_FILES: Readonly<Record<string, string>> = {
  'chromium/policies/managed/sandbox-mcp.json': CA_FILES.chromium,
  'opt/chrome/policies/managed/sandbox-mcp.json': CA_FILES.chromium,
  'opt/chrome_for_testing/policies/managed/sandbox-mcp.json': CA_FILES.chromium,
  'opt/edge/policies/managed/sandbox-mcp.json': CA_FILES.chromium,
  'firefox/policies/policies.json': CA_FILES.firefox,
};

/** Paths below `/etc` and the targets of the links to create there. */
export const POLICY_LINKS: readonly (readonly [path: string, target: string])[] = Object.entries(
  POLICY_FILES,
).map(([path, file]) => [path, `${CA_DIR}/${file}`]);

/** Policy `CACertificates` of Chromium and what is built on it. */
export function chromiumPolicy(certificate: string): string {
  const der = certificate.replace(/-----[A-Z ]+-----|\s/g, '');
  return `${JSON.stringify({ CACertificates: [der] })}\n`;
}

/** Policy `Certificates` of Firefox. */
export const FIREFOX_POLICY = `${JSON.stringify({
  policies: { Certificates: { Install: [`${CA_DIR}/${CA_FILES.authority}`] } },
})}\n`;

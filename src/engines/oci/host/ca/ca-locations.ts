/** Where programs in a sandbox find the files of its CA. */

/** The sandbox's directory of CA files, read-only inside. */
export const CA_DIR = '/run/sandbox-mcp';
export const CA_FILES = {
  /** The sandbox's CA only. */
  authority: 'ca.crt',
  /** The host's CAs and the sandbox's. */
  bundle: 'ca-bundle.crt',
  /** The same as a Java keystore. */
  java: 'cacerts',
  /** Policies of browsers that add the sandbox's CA. */
  chromium: 'chromium-policy.json',
  firefox: 'firefox-policies.json',
} as const;

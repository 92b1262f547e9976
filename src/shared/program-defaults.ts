/**
 * Default environment variables of every program, on every engine; the caller's own override them. They are
 * for programs whose usual behaviour does not suit a sandbox.
 */
export const PROGRAM_DEFAULTS: Readonly<Record<string, string>> = {
  LANG: 'C.UTF-8',
  // Otherwise a killed Python program loses the output that it still buffers.
  PYTHONUNBUFFERED: '1',
  // Without it, Debian's pip refuses to install outside a virtual environment (PEP 668).
  PIP_BREAK_SYSTEM_PACKAGES: '1',
  // Git takes it for a commit if nothing is configured, and refuses to commit otherwise.
  EMAIL: 'vercel-sandbox@sandbox.invalid',
};

import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * The words before a command that has to run as root: none for root itself, and `sudo` for users who may use it without
 * a password, as on hosted CI runners. Null for everybody else.
 */
export async function asRoot(isRoot: boolean): Promise<readonly string[] | null> {
  if (isRoot) return [];
  const sudo = ['sudo', '--non-interactive'];
  const [program = '', ...args] = [...sudo, 'true'];
  const child = spawn(program, args, { stdio: 'ignore' });
  try {
    const [code] = await once(child, 'close');
    return code === 0 ? sudo : null;
  } catch {
    // There is no sudo.
    return null;
  }
}

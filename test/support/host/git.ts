import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Git without the settings of this machine and of its user, and without prompts. */
export const GIT_ENVIRONMENT = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 't',
  GIT_AUTHOR_EMAIL: 't@example.org',
  GIT_COMMITTER_NAME: 't',
  GIT_COMMITTER_EMAIL: 't@example.org',
  NO_PROXY: '*',
};

/** Runs git in a folder of this machine. Rejects with what it wrote unless it succeeds. */
export async function git(folder: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('git', ['-c', 'safe.directory=*', '-C', folder, ...args], {
    env: GIT_ENVIRONMENT,
  });
  return stdout;
}

import type { Answer, RunningServer } from '../../support/server.ts';

export interface Shell {
  shellId: string;
  /** The result of opening it. */
  opened: Answer;
  /** Types, waits and returns the result; an error fails the test. */
  send(args?: Record<string, unknown>): Promise<Answer>;
  /**
   * Types, and returns once the program has exited, which may be long after the last change of its screen.
   */
  sendUntilExit(args?: Record<string, unknown>): Promise<Answer>;
  screen(answer: Answer): string;
}

/** Opens a shell in the session's current sandbox, with a prompt that is easy to wait for. */
export async function openShell(server: RunningServer, args: Record<string, unknown> = {}): Promise<Shell> {
  const opened = await server.call('sandbox_shell', { env: { PS1: 'prompt> ' }, command: BASH, ...args });
  if (opened.isError) throw new Error(opened.text);
  const shellId = String(opened.structured['shell_id']);
  const send: Shell['send'] = async (more = {}) => {
    const answer = await server.call('shell_send', { shell_id: shellId, wait_ms: 50_000, ...more });
    if (answer.isError) throw new Error(answer.text);
    return answer;
  };
  return {
    shellId,
    opened,
    screen,
    send,
    async sendUntilExit(args = {}) {
      let answer = await send(args);
      while (answer.structured['exit_code'] === null) answer = await send();
      return answer;
    },
  };
}

/** Without startup files, which could change the prompt. */
export const BASH = ['/bin/bash', '--norc', '--noprofile'];

export function screen(answer: Answer): string {
  return String(answer.structured['screen']);
}

/** One row of the screen, from 1. */
export function row(answer: Answer, number: number): string {
  return screen(answer).split('\n')[number - 1] ?? '';
}

export function output(answer: Answer): string {
  return String(answer.structured['output']);
}

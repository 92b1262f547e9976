/** Signals to a command and all its descendants, wherever they have moved. */
import type { Session } from '@vercel/sandbox';
import { runScript } from './run-script.ts';

/**
 * Set in the environment of each command to its id; children inherit it by fork, including those that have
 * left their parent, session and group. A process that has cleared its environment is found through its
 * parent.
 */
export const MARK = 'SANDBOX_MCP_COMMAND';

/**
 * Pure bash, without a fork: a fork bomb takes every free process id. All processes found are stopped first,
 * until no new ones appear; then all get the signal and are continued. Processes that were sent SIGKILL take
 * a moment to die: the script waits for them, a few seconds at most.
 */
const SCRIPT = `mark=$1 all=0 blind=
shift
declare -A found
scan() {
  local dir pid entry line fresh=1
  for dir in /proc/[0-9]*; do
    pid=\${dir#/proc/}
    [[ -n \${found[$pid]} || $pid == $$ || $pid == $PPID ]] && continue
    entry=
    { while IFS= read -r -d '' line || [[ -n $line ]]; do
      if [[ $line == "$mark" ]]; then entry=1; break; fi
    done < "$dir/environ"; } 2> /dev/null || { [[ -d $dir ]] && blind=blind; }
    if [[ -z $entry ]]; then
      while IFS= read -r line; do
        if [[ $line == PPid:* ]]; then
          [[ -n \${found[\${line##*[!0-9]}]} ]] && entry=1
          break
        fi
      done < "$dir/status"
    fi
    if [[ -n $entry ]]; then found[$pid]=1 fresh=0; kill -STOP "$pid" 2> /dev/null; fi
  done
  return $fresh
} 2> /dev/null
dead() {
  local pid line
  for pid in "\${!found[@]}"; do
    while IFS= read -r line; do
      if [[ $line == State:* ]]; then
        [[ $line != *Z* && $line != *X* ]] && return 1
        break
      fi
    done < "/proc/$pid/status"
    unset "found[$pid]"
  done
} 2> /dev/null
while (( $# > 0 )); do
  signal=$1 rounds=0 found=()
  shift
  while scan && (( ++rounds < 200 )); do :; done
  for pid in "\${!found[@]}"; do kill -"$signal" "$pid" 2> /dev/null; done
  if [[ $signal != 19 ]]; then for pid in "\${!found[@]}"; do kill -CONT "$pid" 2> /dev/null; done; fi
  (( all += \${#found[@]} ))
  (( $# > 0 && \${#found[@]} > 0 )) && sleep 0.2
  if [[ $signal == 9 ]]; then for (( turn = 0; turn < 150; turn++ )); do dead && break; sleep 0.02; done; fi
done
echo "$all $blind"`;

/**
 * Sends signals by number, a moment apart, to every tagged process. As root, since what `sudo` started
 * belongs to it; if root may not inspect other users' processes, once more as the sandbox's user. Returns how
 * many were signalled; 0 if none is left.
 *
 * @throws SandboxError `unsupported` if the image has no bash; what the SDK throws
 */
export async function killTree(
  session: Session,
  commandId: string,
  signalNumbers: number[],
  signal: AbortSignal,
): Promise<number> {
  const args = [`${MARK}=${commandId}`, ...signalNumbers.map(String)];
  const asRoot = await sweep(session, args, true, signal);
  if (!asRoot.blind) return asRoot.reached;
  return asRoot.reached + (await sweep(session, args, false, signal)).reached;
}

async function sweep(session: Session, args: string[], sudo: boolean, signal: AbortSignal) {
  const { stdout } = await runScript(session, SCRIPT, args, { signal, sudo });
  const [reached, blind] = stdout.trim().split('\n').at(-1)?.split(' ') ?? [];
  return { reached: Number(reached ?? 0), blind: blind === 'blind' };
}

import type { Listener } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { runScript } from '../guest/run-script.ts';
import { inSession } from '../sandbox/get-sandbox.ts';

/** Prints port, process id and program of each listener; a line without a program for one of another user. */
const SCRIPT = `declare -A ports
for table in /proc/net/tcp /proc/net/tcp6; do
  while read -r _ local _ state _ _ _ _ _ inode _; do
    [[ $state == 0A ]] && ports[$inode]=$(( 16#\${local##*:} ))
  done < "$table"
done 2> /dev/null
(( \${#ports[@]} )) || exit 0
while read -r link path; do
  inode=\${link//[!0-9]/} pid=\${path#/proc/}
  pid=\${pid%%/*}
  [[ -n $inode && -n \${ports[$inode]} ]] || continue
  read -r program < "/proc/$pid/comm" || program=
  echo "\${ports[$inode]} $pid $program"
  unset "ports[$inode]"
done < <(find /proc/[0-9]*/fd -lname 'socket:*' -printf '%l %p\\n' 2> /dev/null)
for port in "\${ports[@]}"; do echo "$port 0"; done`;

const LINE = /^(\d{1,5}) (\d{1,10})(?: (.{0,64}))?$/;

/**
 * The ports that programs in a sandbox listen on, each once. Read as the sandbox's user, whose programs root may
 * not inspect everywhere, then as root, for those of others.
 */
export function readListeners(
  context: VercelContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<Listener[]> {
  return inSession(context, sandboxId, 'read the listening ports', signal, async (session) => {
    const found = new Map<number, Listener>();
    for (const sudo of [false, true]) {
      const { stdout } = await runScript(session, SCRIPT, [], { signal, sudo });
      addListeners(found, stdout);
      if ([...found.values()].every(({ pid }) => pid !== null)) break;
    }
    return [...found.values()].sort((a, b) => a.port - b.port);
  });
}

function addListeners(found: Map<number, Listener>, output: string): void {
  for (const line of output.split('\n')) {
    const [, port, pid, program] = LINE.exec(line) ?? [];
    const listener = { port: Number(port), pid: Number(pid) || null, program: program || null };
    if (port !== undefined && found.get(listener.port)?.program == null) found.set(listener.port, listener);
  }
}

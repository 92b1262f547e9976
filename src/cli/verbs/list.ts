import type { SandboxView, Session } from '../../registry/types.ts';
import { formatDuration } from '../../shared/duration.ts';
import { alignColumns } from '../output/table.ts';
import type { Terminal } from '../output/terminal.ts';

const PAGE = 100;

/** Prints every sandbox of this user, newest first. Times are relative to `now` (epoch milliseconds). */
export async function list(
  session: Session,
  options: { json: boolean },
  now: number,
  terminal: Terminal,
): Promise<number> {
  const sandboxes = await allSandboxes(session);
  if (options.json) terminal.out(`${JSON.stringify(sandboxes, null, 2)}\n`);
  else if (sandboxes.length === 0) terminal.out('No sandboxes.\n');
  else {
    const head = ['SANDBOX', 'STATUS', 'ENGINE', 'VCPUS', 'AGE', 'ENDS IN', 'PORTS'];
    terminal.out(alignColumns([head, ...sandboxes.map((sandbox) => row(sandbox, now))]));
  }
  return 0;
}

async function allSandboxes(session: Session): Promise<SandboxView[]> {
  const found: SandboxView[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: SandboxView[]; nextCursor: string | null } = await session.list(
      { limit: PAGE, since: null, until: null, cursor },
      new AbortController().signal,
    );
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}

function row(sandbox: SandboxView, now: number): string[] {
  return [
    sandbox.sandboxId,
    sandbox.status,
    sandbox.engine,
    String(sandbox.vcpus),
    formatDuration(now - sandbox.createdAt),
    sandbox.expiresAt === null ? '-' : formatDuration(sandbox.expiresAt - now),
    sandbox.ports.map(({ port }) => port).join(',') || '-',
  ];
}

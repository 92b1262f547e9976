/** What a server has acknowledged about one sandbox, and the check that nothing of it was lost. */
import { z } from 'zod';
import type { Report } from './report.ts';
import type { Answer, TortureServer } from './torture-server.ts';

const fileRead = z.object({ exists: z.boolean(), content: z.string().nullable() });
const outputPage = z.object({ content: z.string(), next_offset: z.number().nullable() });
const state = z.object({ status: z.string(), status_reason: z.string().nullable() });

interface FileState {
  /** The content that was acknowledged last; null before the first time. */
  acknowledged: string | null;
  /** Contents of writes since then, whose outcome is unknown. */
  readonly possible: Set<string>;
  /** A call that changes it is in progress. */
  busy: boolean;
}

export interface Run {
  readonly token: string;
  readonly commandId: string;
  readonly stdout: string;
}

export class SandboxLedger {
  readonly sandboxId: string;
  readonly keep: boolean;
  readonly files = new Map<string, FileState>();
  /** Every command that was requested, by the word that it appends to the file `runs`. */
  readonly tokens = new Set<string>();
  /** Commands whose end and output were acknowledged. */
  readonly runs: Run[] = [];
  /** Its end was requested, or may follow from what was done to its server. */
  mayHaveEnded = false;
  /** One of its records was damaged: nothing is promised but its removal. */
  isDamaged = false;

  constructor(sandboxId: string, keep: boolean) {
    this.sandboxId = sandboxId;
    this.keep = keep;
  }

  file(path: string): FileState {
    const known = this.files.get(path) ?? { acknowledged: null, possible: new Set(), busy: false };
    this.files.set(path, known);
    return known;
  }

  /** A write with this content is requested; `done` reports the answer to it. */
  writing(path: string, content: string): (isAcknowledged: boolean) => void {
    const file = this.file(path);
    file.busy = true;
    file.possible.add(content);
    return (isAcknowledged) => {
      file.busy = false;
      if (!isAcknowledged) return;
      file.acknowledged = content;
      file.possible.clear();
    };
  }

  /** What is known of the files now; later writes do not change it. */
  copyFiles(): Map<string, FileState> {
    return new Map(
      [...this.files].map(([path, { acknowledged, possible }]) => [
        path,
        { acknowledged, possible: new Set(possible), busy: false },
      ]),
    );
  }

  /** Whether a file may have this content. */
  allows(path: string, content: string | null): boolean {
    const { acknowledged, possible } = this.file(path);
    return content === acknowledged || (content !== null && possible.has(content));
  }

  /** Compares the sandbox with what was acknowledged. */
  async verify(server: TortureServer, report: Report): Promise<void> {
    if (this.isDamaged) return;
    if (await this.#isRunning(server, report)) {
      for (const path of this.files.keys()) await this.#verifyFile(server, report, path);
      await this.#verifyRuns(server, report);
    }
    for (const run of this.runs) await this.#verifyLog(server, report, run);
  }

  async #isRunning(server: TortureServer, report: Report): Promise<boolean> {
    const answer = await server.call('sandbox_get', { sandbox_id: this.sandboxId });
    const view = state.safeParse(answer?.data);
    if (view.success && view.data.status === 'running') return true;
    if (!this.mayHaveEnded && !/disk/.test(view.data?.status_reason ?? ''))
      this.#lost(report, `it is not running: ${JSON.stringify(view.data) ?? answer?.text}`);
    return false;
  }

  async #verifyFile(server: TortureServer, report: Report, path: string): Promise<void> {
    const answer = await this.#read(server, path);
    const found = fileRead.safeParse(answer?.data);
    if (!found.success) return this.#lost(report, `${path} cannot be read: ${answer?.text}`);
    report.verified.files += 1;
    const content = found.data.exists ? found.data.content : null;
    if (!this.allows(path, content))
      this.#lost(
        report,
        `${path} has ${JSON.stringify(content?.slice(0, 60) ?? null)}, acknowledged was ${JSON.stringify(this.file(path).acknowledged?.slice(0, 60))}`,
      );
  }

  async #verifyRuns(server: TortureServer, report: Report): Promise<void> {
    const answer = await this.#read(server, 'runs');
    const content = fileRead.safeParse(answer?.data).data?.content ?? '';
    // A full disk may have cut a line off.
    const timesOf = (token: string): number => content.split(token).length - 1;
    for (const token of this.tokens) {
      report.verified.runs += 1;
      if (timesOf(token) > 1) this.#lost(report, `the command ${token} ran ${timesOf(token)} times`);
    }
    for (const { token } of this.runs)
      if (timesOf(token) === 0)
        this.#lost(report, `the command ${token} is said to have succeeded and has not`);
  }

  async #verifyLog(server: TortureServer, report: Report, run: Run): Promise<void> {
    let content = '';
    for (let offset: number | null = 0; offset !== null; ) {
      const request = { command_id: run.commandId, stream: 'stdout', offset, limit: 65_536 };
      const answer: Answer | null = await server.call('command_output', request);
      const page = outputPage.safeParse(answer?.data);
      if (!page.success) return this.#lost(report, `the log of ${run.token} cannot be read: ${answer?.text}`);
      content += page.data.content;
      offset = page.data.next_offset;
    }
    report.verified.logs += 1;
    if (content !== run.stdout)
      this.#lost(
        report,
        `the log of ${run.token} has ${content.length} characters instead of ${run.stdout.length}`,
      );
  }

  #read(server: TortureServer, path: string): Promise<Answer | null> {
    return server.call('sandbox_read_file', { sandbox_id: this.sandboxId, path, limit: 1_048_576 });
  }

  #lost(report: Report, what: string): void {
    report.violation(`${this.sandboxId}: ${what}`);
  }
}

import type { Command, Listener, NetworkPolicy, Sandbox, Shell, Shells } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { newCommandId } from '../../shared/ids.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { extendWithinLimit } from '../sandboxes/deadline.ts';
import { notRunning } from '../sandboxes/sandbox-end.ts';
import { getSandboxView, toSandboxView } from '../sandboxes/sandbox-view.ts';
import type { TaskScope } from '../sandboxes/task-scope.ts';
import { updateNetworkPolicy } from '../sandboxes/update-network-policy.ts';
import { takeSnapshot } from '../snapshots/take-snapshot.ts';
import type {
  RunRequest,
  SandboxFiles,
  SandboxHandle,
  SandboxView,
  SandboxWorkspace,
  SeenCommand,
  ShellHandle,
  ShellRequest,
  SnapshotRequest,
  TakenSnapshot,
  Transfer,
  TransferRequest,
  TransferWork,
} from '../types.ts';
import { SeenCommandHandle } from './command-handle.ts';
import { filesOf, workspaceOf } from './sandbox-files.ts';
import type { SessionCommands } from './session-commands.ts';
import type { SessionShells } from './session-shells.ts';
import type { SessionTransfers } from './transfers.ts';

/** A sandbox that the session's principal may use, according to its record. */
export class RegistrySandboxHandle implements SandboxHandle {
  readonly sandboxId: string;
  readonly files: SandboxFiles;
  readonly #context: RegistryContext;
  readonly #record: OwnershipRecord;
  readonly #scope: TaskScope;
  readonly #commands: SessionCommands;
  readonly #shells: SessionShells;
  readonly #transfers: SessionTransfers;

  constructor(
    context: RegistryContext,
    record: OwnershipRecord,
    scope: TaskScope,
    commands: SessionCommands,
    shells: SessionShells,
    transfers: SessionTransfers,
  ) {
    this.sandboxId = record.sandboxId;
    this.files = filesOf(context.engine.files, record.sandboxId);
    this.#context = context;
    this.#record = record;
    this.#scope = scope;
    this.#commands = commands;
    this.#shells = shells;
    this.#transfers = transfers;
  }

  workspace(): SandboxWorkspace {
    const { workspaces, name } = this.#context.engine;
    if (workspaces !== undefined) return workspaceOf(workspaces, this.sandboxId);
    throw new SandboxError('unsupported', `The ${name} engine has no workspaces.`, {
      hint: 'Use sandbox_upload_file and sandbox_download_file.',
    });
  }

  async gitUrl(): Promise<string | null> {
    const { engine, published } = this.#context;
    if (engine.git === undefined || published.repositoryUrl === null) return null;
    const { principal } = this.#record;
    return published.repositoryUrl({ principal, sandboxId: this.sandboxId });
  }

  async view(signal: AbortSignal): Promise<SandboxView> {
    return getSandboxView(this.#context, this.#record, signal);
  }

  async requireRunning(signal: AbortSignal): Promise<SandboxView> {
    const view = await this.view(signal);
    if (view.status === 'running') return view;
    const record = await this.#context.store.read(this.sandboxId);
    throw notRunning(view, record?.endedAt ?? null, this.#record.persistent === true);
  }

  async extendTimeout(durationMs: number, signal: AbortSignal): Promise<SandboxView> {
    const requireRunning = (): Promise<Sandbox> => this.requireRunning(signal);
    const sandbox = await extendWithinLimit(
      this.#context,
      this.sandboxId,
      durationMs,
      requireRunning,
      signal,
    );
    return toSandboxView(this.#context, this.#record, sandbox);
  }

  async stop(signal: AbortSignal): Promise<SandboxView> {
    try {
      const [sandbox] = await Promise.all([
        this.#context.engine.stop(this.sandboxId, 'requested', signal),
        this.#transfers.end(this.sandboxId, 'stop'),
      ]);
      return await toSandboxView(this.#context, this.#record, sandbox);
    } catch (error) {
      if (!(error instanceof SandboxError) || error.code !== 'not_found') {
        // The caller may have been answered before the failure.
        this.#context.log.warn({ sandbox_id: this.sandboxId, err: error }, 'A stop failed.');
        throw error;
      }
      // The create may have failed or not have finished.
      const view = await this.view(signal);
      if (view.status === 'pending') throw notRunning(view, null, false);
      return view;
    }
  }

  snapshot(request: SnapshotRequest, signal: AbortSignal): Promise<TakenSnapshot> {
    return this.#scope.run(signal, (either) =>
      takeSnapshot(
        this.#context,
        this.#record,
        {
          requireRunning: () => this.requireRunning(either),
          // A snapshot must not contain half of an upload.
          quieten: () => this.#transfers.end(this.sandboxId, 'snapshot'),
        },
        request,
        either,
      ),
    );
  }

  run(request: RunRequest, signal: AbortSignal): Promise<SeenCommand> {
    return this.#scope.run(signal, async (either) => {
      const view = await this.requireRunning(either);
      const start = { commandId: newCommandId(this.sandboxId), sandboxId: this.sandboxId, ...request };
      const { commands } = this.#context.engine;
      const command = await this.#commands.start(view, () => commands.start(start, either));
      return this.#seen(command);
    });
  }

  async commands(signal: AbortSignal): Promise<SeenCommand[]> {
    const commands = await this.#context.engine.commands.list(this.sandboxId, signal);
    return commands.map((command) => this.#seen(command));
  }

  updateNetworkPolicy(policy: NetworkPolicy, signal: AbortSignal): Promise<SandboxView> {
    return this.#scope.run(signal, async (either) => {
      const requireRunning = (): Promise<unknown> => this.requireRunning(either);
      await updateNetworkPolicy(this.#context, this.sandboxId, policy, requireRunning, either);
      return this.view(either);
    });
  }

  exposePort(port: number, signal: AbortSignal): Promise<SandboxView> {
    return this.#scope.run(signal, async (either) => {
      const { ports, name } = this.#context.engine;
      if (ports === undefined) {
        throw new SandboxError('unsupported', `Engine ${name} cannot expose ports.`, {
          hint: 'Reach the server from inside, with sandbox_run_command.',
        });
      }
      await this.requireRunning(either);
      await ports.expose(this.sandboxId, port, either);
      return this.view(either);
    });
  }

  async listeners(signal: AbortSignal): Promise<Listener[] | null> {
    const { ports } = this.#context.engine;
    return ports === undefined ? null : ports.listeners(this.sandboxId, signal);
  }

  async terminalUrl(signal: AbortSignal): Promise<string> {
    const { shells, name } = this.#context.engine;
    if (shells?.interactiveUrl !== undefined) return shells.interactiveUrl(this.sandboxId, signal);
    throw new SandboxError('unsupported', `The ${name} engine does not support interactive ports.`, {
      hint: 'Call sandbox_shell for a terminal.',
    });
  }

  async transfer(request: TransferRequest, work: TransferWork, signal: AbortSignal): Promise<Transfer> {
    return this.#transfers.open(await this.view(signal), request, work);
  }

  openShell(request: ShellRequest, signal: AbortSignal): Promise<ShellHandle> {
    const shells = this.#requireShells();
    return this.#scope.run(signal, async (either) => {
      const view = await this.requireRunning(either);
      const open = { sandboxId: this.sandboxId, ...request };
      return this.#shells.open(view, request, () => shells.open(open, either));
    });
  }

  openRawShell(request: ShellRequest, signal: AbortSignal): Promise<Shell> {
    const shells = this.#requireShells();
    return this.#scope.run(signal, async (either) => {
      await this.requireRunning(either);
      return shells.open({ sandboxId: this.sandboxId, ...request }, either);
    });
  }

  #requireShells(): Shells {
    const { shells, name } = this.#context.engine;
    if (shells !== undefined) return shells;
    throw new SandboxError('unsupported', `The ${name} engine does not support terminals.`, {
      hint: 'Call sandbox_run_command for each command.',
    });
  }

  #seen(command: Command): SeenCommand {
    return new SeenCommandHandle(command, this, this.#context.engine.commands, this.#commands);
  }
}

import type { Files, Workspaces } from '../../engines/engine.ts';
import type { SandboxFiles, SandboxWorkspace } from '../types.ts';

/** The engine's file operations, bound to one sandbox whose ownership has been checked. */
export function filesOf(files: Files, sandboxId: string): SandboxFiles {
  return {
    mkDir: (path, cwd, signal) => files.mkDir(sandboxId, path, cwd, signal),
    stat: (path, cwd, signal) => files.stat(sandboxId, path, cwd, signal),
    read: (path, cwd, range, signal) => files.read(sandboxId, path, cwd, range, signal),
    write: (list, cwd, signal) => files.write(sandboxId, list, cwd, signal),
    readTree: (path, cwd, signal, onSkipped) => files.readTree(sandboxId, path, cwd, signal, onSkipped),
    writeTree: (path, cwd, entries, signal) => files.writeTree(sandboxId, path, cwd, entries, signal),
    explore: (signal) => files.explore(sandboxId, signal),
  };
}

/** The same for its workspace. */
export function workspaceOf(workspaces: Workspaces, sandboxId: string): SandboxWorkspace {
  return {
    changes: (signal) => workspaces.changes(sandboxId, signal),
    read: (path, side, limit, signal) => workspaces.read(sandboxId, path, side, limit, signal),
    finishApply: (signal) => workspaces.finishApply(sandboxId, signal),
    apply: (agreed, signal) => workspaces.apply(sandboxId, agreed, signal),
  };
}

/** Where servers are tortured: a small disk, a runtime that can fail, and a clock that can jump. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Place } from '../crash/support/place.ts';
import { waitForCleanUps } from '../support/leftovers.ts';

/** Holds the host's part of a state directory and a few sandboxes. */
const DISK_MB = 256;

export type RuntimeMode = 'works' | 'fails' | 'hangs';

export interface Environment {
  readonly place: Place;
  /** The OCI runtime for `--oci-runtime`. */
  readonly runtime: string;
  readonly clockFile: string;
  /** Whether the place is a file system of its own, which can be filled. */
  readonly hasOwnDisk: boolean;
  setRuntime(mode: RuntimeMode): void;
  /** Milliseconds to add to the servers' wall clock. */
  setClock(offsetMs: number): void;
}

/** Creates an environment. As an ordinary user its disk is the host's. */
export function makeEnvironment(): Environment {
  const home = mkdtempSync(join(tmpdir(), 't-'));
  // Outside of the disk that gets full.
  const control = mkdtempSync(join(tmpdir(), 'tc-'));
  const hasOwnDisk = process.getuid?.() === 0;
  if (hasOwnDisk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'sandbox-mcp-torture', home]);
  // Passable: the users of a sandbox work below it.
  chmodSync(home, 0o711);
  chmodSync(control, 0o755);
  const files = join(home, 'w');
  mkdirSync(files);
  const modeFile = join(control, 'runtime-mode');
  const clockFile = join(control, 'clock-offset');
  const setRuntime = (mode: RuntimeMode) => writeFileSync(modeFile, mode);
  const setClock = (offsetMs: number) => writeFileSync(clockFile, String(offsetMs));
  setRuntime('works');
  setClock(0);
  return {
    place: {
      home,
      stateDir: join(home, 's'),
      files,
      wrap: null,
      async remove() {
        await waitForCleanUps(home);
        if (hasOwnDisk) execFileSync('umount', [home]);
        await rm(home, { recursive: true, force: true });
        rmSync(control, { recursive: true, force: true });
      },
    },
    runtime: writeRuntime(control, modeFile),
    clockFile,
    hasOwnDisk,
    setRuntime,
    setClock,
  };
}

/** A script that does what the mode says and then becomes the runtime. Returns its path. */
function writeRuntime(control: string, modeFile: string): string {
  // crun of Debian 12 starts nothing for ordinary users without cgroups of their own.
  const names = process.getuid?.() === 0 ? ['crun', 'runc'] : ['runc', 'crun'];
  const found = names.map(locate).find((path) => path !== null);
  if (!found) throw new Error('neither crun nor runc is installed');
  const path = join(control, `${found.endsWith('runc') ? 'runc' : 'crun'}-wrapper`);
  const script = `#!/bin/sh
while [ "$(cat '${modeFile}')" = hangs ]; do sleep 0.05; done
if [ "$(cat '${modeFile}')" = fails ]; then echo 'the torture made this runtime fail' >&2; exit 1; fi
exec '${found}' "$@"
`;
  writeFileSync(path, script, { mode: 0o755 });
  return path;
}

function locate(program: string): string | null {
  try {
    return execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

/** What an attempt is: a program's way out, the wall it meets, and the proof that it would work without. */
import type { Wall } from './isolation-layers.ts';

/** Devices of the host that no sandbox has; not every machine has each. */
export const HOST_DEVICES = [
  '/dev/mem',
  '/dev/kmsg',
  '/dev/kvm',
  '/dev/fuse',
  '/dev/loop-control',
  '/dev/net/tun',
  '/dev/loop0',
];

/** What the attempts aim at on this host; made for the run, so that nobody else's things are touched. */
export interface Targets {
  /** Below `folder` on the host; `hostFile` holds a line. */
  readonly folder: string;
  readonly hostFile: string;
  readonly hostSocket: string;
  /** In /dev/shm of the host. */
  readonly hostShared: string;
  /** The name of an abstract socket of the host. */
  readonly abstractName: string;
  readonly port: number;
  readonly sharedMemoryKey: number;
  readonly hostName: string;
  /** Of the process that runs the engine, so the server. */
  readonly serverPid: number;
  /** A word of its environment. */
  readonly secret: string;
  readonly stateDir: string;
  /**
   * Another sandbox's file, as it lies on the host, and a word on the command line of one of its processes.
   */
  readonly neighbourFile: string;
  readonly neighbourWord: string;
  /** The place of the program inside. */
  readonly program: string;
}

export interface Attempt {
  /** A function of the C program. */
  readonly name: string;
  readonly argument?: string | ((targets: Targets) => string);
  /** Run as the sandbox's root instead of its ordinary user. */
  readonly sudo?: true;
  /** What a sandbox says: the name of an error, a signal, or the attempt's own word. */
  readonly refused: string;
  readonly control:
    | {
        readonly without: readonly Wall[];
        /**
         * `OK` where it succeeds; another word where success would harm, so that the arguments are wrong on
         * purpose.
         */
        readonly says: string;
      }
    /** The same program as a process of the host, where the wall cannot be taken from a sandbox. */
    | { readonly onHost: string; readonly says: string }
    | { readonly none: string };
  /** Where the kernel or the machine may lack what the attempt wants: then the control says one of these. */
  readonly orAbsent?: readonly string[];
  /**
   * What a processor or hypervisor says that refuses the attempt before the sandbox's own layer could: then
   * this is no proof of the layer, and the control has to say the same.
   */
  readonly beforeLayer?: string;
  readonly only?: 'x64';
}

/** An attempt as it is told and looked up. */
export function titleOf({ name, argument, sudo }: Attempt): string {
  const shown = typeof argument === 'string' ? ` ${argument}` : '';
  return `${name}${shown}${sudo ? ' with sudo' : ''}`;
}

/** As the program takes it. */
export function wordOf({ name, argument }: Attempt, targets: Targets): string {
  if (argument === undefined) return name;
  return `${name}=${typeof argument === 'string' ? argument : argument(targets)}`;
}

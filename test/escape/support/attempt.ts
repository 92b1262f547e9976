/**
 * An escape attempt: what a program tries, the isolation layer that stops it, and the proof that it would
 * work without that layer.
 */
import type { Layer } from './isolation-layers.ts';

/** Devices of the host that no sandbox has; a machine may lack some. */
export const HOST_DEVICES = [
  '/dev/mem',
  '/dev/kmsg',
  '/dev/kvm',
  '/dev/fuse',
  '/dev/loop-control',
  '/dev/net/tun',
  '/dev/loop0',
];

/** The targets of the attempts on this host, created for the run so that nothing else is touched. */
export interface Targets {
  /** Below `folder` on the host; `hostFile` contains one line. */
  readonly folder: string;
  readonly hostFile: string;
  readonly hostSocket: string;
  /** In the host's /dev/shm. */
  readonly hostShared: string;
  /** The name of an abstract socket of the host. */
  readonly abstractName: string;
  readonly port: number;
  readonly sharedMemoryKey: number;
  readonly hostName: string;
  /** The process id of the server. */
  readonly serverPid: number;
  /** A word in the server's environment. */
  readonly secret: string;
  readonly stateDir: string;
  /**
   * The host path of another sandbox's file, and a word on the command line of one of its processes.
   */
  readonly neighbourFile: string;
  readonly neighbourWord: string;
  /** The path of the program inside. */
  readonly program: string;
}

export interface Attempt {
  /** A function of the C program. */
  readonly name: string;
  readonly argument?: string | ((targets: Targets) => string);
  /** Run as the sandbox's root instead of its ordinary user. */
  readonly sudo?: true;
  /** The expected result in a sandbox: the name of an error, a signal, or the attempt's own word. */
  readonly refused: string;
  readonly control:
    | {
        readonly without: readonly Layer[];
        /**
         * The expected result of the control: `OK`, or another word if success would do harm, so that the
         * arguments are wrong on purpose.
         */
        readonly says: string;
      }
    /** The control is a process of the host if the layer cannot be removed from a sandbox. */
    | { readonly onHost: string; readonly says: string }
    | { readonly none: string };
  /** Results of the control that mean that the kernel or the machine lacks what the attempt needs. */
  readonly orAbsent?: readonly string[];
  /**
   * The result if a processor or hypervisor refuses the attempt before the sandbox's own layer can. It proves
   * nothing about the layer, and the control must have the same result.
   */
  readonly beforeLayer?: string;
  readonly only?: 'x64';
}

/** The title of an attempt, by which results are looked up. */
export function titleOf({ name, argument, sudo }: Attempt): string {
  const shown = typeof argument === 'string' ? ` ${argument}` : '';
  return `${name}${shown}${sudo ? ' with sudo' : ''}`;
}

/** The argument of the program. */
export function wordOf({ name, argument }: Attempt, targets: Targets): string {
  if (argument === undefined) return name;
  return `${name}=${typeof argument === 'string' ? argument : argument(targets)}`;
}

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/**
 * The child once it runs. Without descriptors or processes left, `spawn` returns a child without streams and
 * reports why only later, as an event that ends this process unless somebody listens.
 *
 * @throws the system's error if it could not be started
 */
export async function whenSpawned<Child extends ChildProcess>(child: Child): Promise<Child> {
  const spawned = once(child, 'spawn');
  // What goes wrong later, such as a signal that cannot be sent, shows by how the child ends.
  child.on('error', () => {});
  await spawned;
  return child;
}

import type { EngineName } from '../../engines/engine.ts';
import type { RegistryContext } from '../context.ts';

/** True for a record of this principal and this engine: another engine does not know the object. */
export function isOwn(
  context: RegistryContext,
  principal: string,
  record: { principal: string; engine: EngineName },
): boolean {
  return record.principal === principal && record.engine === context.engine.name;
}

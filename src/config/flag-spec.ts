export interface FlagSpec {
  readonly name: string;
  /** The name of the value in help; null for a switch. */
  readonly value: string | null;
  readonly repeatable: boolean;
  /** As displayed in help. */
  readonly default: string;
  readonly description: string;
}

/** Present if the engine runs sandboxes in regions that the caller can choose. */
export interface Regions {
  readonly example: string;
}

export const ENDINGS = ['close', 'exit', 'kill'] as const;
/** The program closes the client, exits without closing it, or is killed. */
export type Ending = (typeof ENDINGS)[number];

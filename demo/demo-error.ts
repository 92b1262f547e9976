/** A failure that is told in one sentence; anything else is a defect of the demo. */
export class DemoError extends Error {}

/** An expected failure, shown as one sentence; any other error is a defect of the demo. */
export class DemoError extends Error {}

/** The abort reason when the conversation has ended, as opposed to a caller's cancellation. */
export class SessionEnded extends Error {
  constructor() {
    super('The session ended.');
    this.name = 'SessionEnded';
  }
}

/** The same for a session that another replica serves now: what its calls began is not theirs to undo. */
export class SessionMoved extends SessionEnded {}

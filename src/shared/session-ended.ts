/** The abort reason when the conversation has ended, as opposed to a caller's cancellation. */
export class SessionEnded extends Error {
  constructor() {
    super('The session ended.');
    this.name = 'SessionEnded';
  }
}

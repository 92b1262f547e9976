/** The reason of an abort that comes from the end of the conversation, not from a caller who changed their mind. */
export class SessionEnded extends Error {
  constructor() {
    super('The session ended.');
    this.name = 'SessionEnded';
  }
}

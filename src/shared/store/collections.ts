/** Collections of a store that more than one part of the server reads. */

/** Sessions that have not ended, by their ids. */
export const SESSIONS = 'sessions';

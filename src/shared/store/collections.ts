/** Collections of a store that more than one part of the server reads. */

/** Ownership records of sandboxes, by their ids. */
export const SANDBOX_RECORDS = 'records:sandbox';

/** Sessions that have not ended, by their ids. */
export const SESSIONS = 'sessions';

/**
 * The factor by which tests may take longer; more than 1 on a machine that is slowed down on purpose.
 */
export const TIMEOUT_FACTOR = Number(process.env['TEST_TIMEOUT_FACTOR'] ?? 1);

/**
 * For a call of a server: the SDK's own limit of a minute would make a test depend on how busy the machine
 * is.
 */
export const CALL_TIMEOUT_MS = 300_000 * TIMEOUT_FACTOR;

/** For a server under test, whose slow calls are otherwise continued in the background after 55 s. */
export const PATIENT = ['--call-timeout', `${CALL_TIMEOUT_MS - 60_000}ms`];

/**
 * Checks values by interpreting their schemas: to compile each at its first use costs a start more than it saves
 * the rest of a session. Import it before any file with schemas.
 */
import { config } from 'zod';

config({ jitless: true });

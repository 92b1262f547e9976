import { z } from 'zod';

/** A session that any replica can serve. In the store until it has ended. */
const schema = z.strictObject({
  version: z.literal(1),
  sessionId: z.string(),
  principal: z.string(),
  /** What a client without sessions calls its conversation; null if it has no name. */
  conversation: z.string().nullable(),
  /** The id of a session over HTTP, and the parameters that it was initialized with; null without sessions. */
  http: z.strictObject({ id: z.string(), initialize: z.record(z.string(), z.unknown()) }).nullable(),
  /** The replica that serves it; null while none does. */
  replica: z.string().nullable(),
  /** One more with each replica that takes it: what an earlier one still does no longer counts. */
  epoch: z.number().int(),
  /** Whoever serves it only has to end it. */
  isEnding: z.boolean(),
  created: z.number().int(),
  currentSandboxId: z.string().nullable(),
});

export type SessionRecord = z.infer<typeof schema>;

/** Null for anything else, such as a record of a newer version. */
export function parseSession(text: string | null): SessionRecord | null {
  if (text === null) return null;
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

import { z } from 'zod';

const texts = z.array(z.string()).optional();

/** A network policy in a record on disk, as in the engine contract; what it keeps of header values is the writer's to choose. */
export const policyRecordSchema = z.strictObject({
  mode: z.enum(['allow-all', 'deny-all', 'custom']),
  allow: texts,
  subnets: z.strictObject({ allow: texts, deny: texts }).optional(),
  rules: z
    .array(
      z.strictObject({
        domain: z.string(),
        match: z.strictObject({ methods: texts, path_prefix: z.string().optional() }).optional(),
        headers: z.record(z.string(), z.string()).optional(),
      }),
    )
    .optional(),
});

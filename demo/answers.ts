/** The parts of the tools' results that the demo reads. */
import { z } from 'zod';

export const sandboxAnswer = z.object({
  sandbox_id: z.string(),
  status: z.string(),
  vcpus: z.number(),
  memory_mb: z.number(),
  network_policy: z.object({ mode: z.string() }),
  ports: z.array(z.object({ port: z.number(), url: z.string().nullable() })),
});

export const transferAnswer = z.object({
  local_path: z.string(),
  files: z.number(),
  bytes: z.number(),
  sha256: z.string().nullable(),
});

export const commandAnswer = z.object({
  command_id: z.string(),
  status: z.string(),
  exit_code: z.number().nullable(),
  ended_by: z.string().nullable(),
  stdout: z.string(),
  stderr: z.string(),
});

export type CommandAnswer = z.output<typeof commandAnswer>;

export const sessionAnswer = z.object({
  engine: z.object({ name: z.string(), isolation: z.string(), not_enforced: z.array(z.string()) }),
});

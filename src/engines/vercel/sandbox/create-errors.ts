import { SandboxError } from '../../../shared/errors.ts';

export function endedMeanwhile(sandboxId: string): SandboxError {
  return new SandboxError('conflict', 'The sandbox was stopped while it was being created.', {
    hint: 'Call sandbox_create for a new one.',
    details: { sandbox_id: sandboxId },
  });
}

export function nameIsTaken(name: string, sandboxId: string): SandboxError {
  return new SandboxError(
    'conflict',
    `The project has a sandbox named ${JSON.stringify(name)}: ${sandboxId}.`,
    {
      hint: `Call sandbox_get with sandbox_id ${sandboxId}, which resumes it, or sandbox_create with another name.`,
      details: { name, sandbox_id: sandboxId },
    },
  );
}

export function noTerminalsForPeople(): SandboxError {
  return new SandboxError(
    'unsupported',
    'The vercel engine does not support interactive terminals for people.',
    {
      hint: 'Call sandbox_create without interactive; sandbox_shell still opens terminals.',
      details: { argument: 'interactive' },
    },
  );
}

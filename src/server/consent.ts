import { SandboxError } from '../shared/errors.ts';

/** What a user answered: consent, refusal, or neither. */
type Consent = 'accept' | 'decline' | 'cancel';

/**
 * Asks the user of a client a question that can be answered with yes or no. `subject` is everything that the answer is
 * about, where the question names a part.
 */
export type AskUser = (question: string, subject?: string) => Promise<Consent>;

/** A form without fields: the client shows the question and offers to accept or decline. */
export const NO_FIELDS = { type: 'object' as const, properties: {} };

/**
 * Returns if the user consents, or if nobody can be asked.
 *
 * @throws `permission` if the user does not
 */
export async function requireConsent(ask: AskUser | null, question: string, subject?: string): Promise<void> {
  if (ask === null) return;
  const consent = await ask(question, subject);
  if (consent === 'accept') return;
  const reason = consent === 'decline' ? 'The user declined' : 'The user did not answer the question';
  throw new SandboxError('permission', `${reason}; nothing was done.`, {
    hint: 'Do not repeat the call unless the user asks for it.',
    details: { question },
  });
}

/** Whether a client with these capabilities can show a form. Early clients declare no mode. */
export function canAsk(elicitation: object | undefined): boolean {
  return elicitation !== undefined && ('form' in elicitation || Object.keys(elicitation).length === 0);
}

import { createHash } from 'node:crypto';
import {
  CLIENT_CAPABILITIES_META_KEY,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { SandboxError } from '../../shared/errors.ts';
import { type AskUser, canAsk, NO_FIELDS } from '../consent.ts';

const Capabilities = z.looseObject({ elicitation: z.looseObject({}).optional() });

/**
 * A question to the user during one call. The revision has no requests to clients: the call is answered with
 * the question, and the client repeats the call with the answer.
 */
export class Question {
  /** How the call asks; null if its client cannot. */
  readonly ask: AskUser | null;
  #pending: InputRequiredResult | null = null;

  constructor({ mcpReq }: ServerContext) {
    const { envelope = {}, inputResponses } = mcpReq;
    const declared = Capabilities.safeParse(Reflect.get(envelope, CLIENT_CAPABILITIES_META_KEY)).data;
    const ask: AskUser = async (message, subject = '') => {
      // An answer counts only for the question that was asked, and what it was about.
      const content = JSON.stringify([message, subject]);
      const key = `consent-${createHash('sha256').update(content).digest('hex').slice(0, 16)}`;
      const response = inputResponse(inputResponses, key);
      if (response.kind === 'elicit') return response.action;
      const requestedSchema = NO_FIELDS;
      this.#pending = inputRequired({
        inputRequests: { [key]: inputRequired.elicit({ message, requestedSchema }) },
      });
      throw new SandboxError('permission', 'The user must be asked first.');
    };
    this.ask = canAsk(declared?.elicitation) ? ask : null;
  }

  /** The result that asks the question, if the call has to be repeated. */
  get pending(): InputRequiredResult | null {
    return this.#pending;
  }
}

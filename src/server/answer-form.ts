import type { Config } from '../config/config.ts';

/**
 * How often, and as what, an answer is sent: `both` is readable text and `structuredContent`, `json` the same data
 * twice, and `text` readable text alone.
 */
export type AnswerForm = 'both' | 'json' | 'text';

export interface ClientAnswers {
  readonly form: AnswerForm;
  /** Whether the client hides images behind `structuredContent`, so that an image must come without it. */
  readonly imagesAlone: boolean;
}

/** For clients that show one of the two, or that nobody has measured. */
export const REST: ClientAnswers = { form: 'both', imagesAlone: false };

/**
 * What differs from `both`, by the name that a client sends as `clientInfo.name`. docs/clients.md has the versions
 * that were measured.
 */
const CLIENTS: ReadonlyMap<string, ClientAnswers> = new Map([
  // These show the model text and data, but only one of them if the text is the data's JSON.
  ['copilot-cli', { form: 'json', imagesAlone: false }],
  ['qwen-cli-mcp-client', { form: 'json', imagesAlone: false }],
  // These always show the model both.
  ['@langchain/mcp-adapters', { form: 'text', imagesAlone: false }],
  ['mcp-client-cli', { form: 'text', imagesAlone: false }],
  // This one shows the data alone where there is some.
  ['codex-mcp-client', { form: 'both', imagesAlone: true }],
]);

/** Qwen Code appends the name under which its user has configured the server. */
const QWEN_CODE_PREFIX = 'qwen-cli-mcp-client-';

/** The form of the answers for a client, from `--answers` or, with `auto`, from the client's name. */
export function answersFor(setting: Config['answers'], clientName: string | undefined): ClientAnswers {
  const name = clientName?.startsWith(QWEN_CODE_PREFIX) ? 'qwen-cli-mcp-client' : clientName;
  const known = CLIENTS.get(name ?? '') ?? REST;
  return setting === 'auto' ? known : { ...known, form: setting };
}

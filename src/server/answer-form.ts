import type { Config } from '../config/config.ts';

/**
 * The form in which results are sent: `both` is readable text plus `structuredContent`, `json` is the same
 * data in both places, and `text` is only readable text.
 */
export type AnswerForm = 'both' | 'json' | 'text';

export interface ClientAnswers {
  readonly form: AnswerForm;
  /** Whether the client hides images behind `structuredContent`, so that an image must come without it. */
  readonly imagesAlone: boolean;
}

/** For clients that show only one of the two, or that have not been measured. */
export const REST: ClientAnswers = { form: 'both', imagesAlone: false };

/**
 * Clients whose form differs from `both`, by the name they send as `clientInfo.name`. docs/clients.md lists
 * the versions that were measured.
 */
const CLIENTS: ReadonlyMap<string, ClientAnswers> = new Map([
  // These show the model text and data, but only one of them if the text is the data's JSON.
  ['copilot-cli', { form: 'json', imagesAlone: false }],
  ['qwen-cli-mcp-client', { form: 'json', imagesAlone: false }],
  // These always show both to the model.
  ['@langchain/mcp-adapters', { form: 'text', imagesAlone: false }],
  ['mcp-client-cli', { form: 'text', imagesAlone: false }],
  // This one shows only the data if there is any.
  ['codex-mcp-client', { form: 'both', imagesAlone: true }],
]);

/** Qwen Code appends the name under which its user has configured the server. */
const QWEN_CODE_PREFIX = 'qwen-cli-mcp-client-';

/** mcp-remote appends this and its version to the name of the client behind it. */
const BRIDGE_SUFFIX = ' (via mcp-remote ';

/** The name in the table; undefined if the client has not said one. */
function tableName(clientName: string | undefined): string | undefined {
  const [name] = clientName?.split(BRIDGE_SUFFIX) ?? [];
  return name?.startsWith(QWEN_CODE_PREFIX) ? 'qwen-cli-mcp-client' : name;
}

/** The form of results for a client: from `--answers` or, with `auto`, from the client's name. */
export function answersFor(setting: Config['answers'], clientName: string | undefined): ClientAnswers {
  const known = CLIENTS.get(tableName(clientName) ?? '') ?? REST;
  return setting === 'auto' ? known : { ...known, form: setting };
}

/**
 * The same for a revision whose tool list is cached for all clients: its results have to match that one list,
 * so that only the operator can leave out the data.
 */
export function sharedAnswersFor(setting: Config['answers'], clientName: string | undefined): ClientAnswers {
  const chosen = answersFor(setting, clientName);
  return setting === 'auto' && chosen.form === 'text' ? { ...chosen, form: 'both' } : chosen;
}

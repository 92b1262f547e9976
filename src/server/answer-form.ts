import type { Config } from '../config/config.ts';

/**
 * The form in which results are sent: `both` is readable text plus `structuredContent`, `json` is the same
 * data in both places, and `text` is only readable text.
 */
export type AnswerForm = 'both' | 'json' | 'text';

/**
 * Clients whose form differs from `both`, by the name they send as `clientInfo.name`. docs/clients.md lists
 * the versions that were measured. All others show only one of the two, or have not been measured.
 */
const CLIENTS: ReadonlyMap<string, AnswerForm> = new Map([
  // These show the model text and data, but only one of them if the text is the data's JSON.
  ['copilot-cli', 'json'],
  ['qwen-cli-mcp-client', 'json'],
  // These always show both to the model.
  ['@langchain/mcp-adapters', 'text'],
  ['mcp-client-cli', 'text'],
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
export function answerForm(setting: Config['answers'], clientName: string | undefined): AnswerForm {
  return setting === 'auto' ? (CLIENTS.get(tableName(clientName) ?? '') ?? 'both') : setting;
}

/**
 * The same for a revision whose tool list is cached for all clients: its results have to match that one list,
 * so that only the operator can leave out the data.
 */
export function sharedAnswerForm(setting: Config['answers'], clientName: string | undefined): AnswerForm {
  const form = answerForm(setting, clientName);
  return setting === 'auto' && form === 'text' ? 'both' : form;
}

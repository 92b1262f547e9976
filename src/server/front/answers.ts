/**
 * Answers to the first messages of a conversation, from text computed at build: without the protocol library
 * and without the schemas, whose loading takes most of a start. Anything unusual is left to the server itself.
 */
import type { Config } from '../../config/config.ts';
import { type AnswerForm, answerForm, sharedAnswerForm } from '../answer-form.ts';
import { instructions } from '../instructions.ts';
import {
  completeResult,
  discoverResult,
  type Era,
  hasOnly,
  isEmpty,
  isObject,
  isPlainCapabilities,
  isPlainClient,
  isPlainEnvelope,
} from './revision.ts';
import { CAPABILITIES, serverInfo } from './server-info.ts';

/** A tool of `tools/list` as JSON, by the form of results. */
export type PrebuiltForms = Readonly<Record<AnswerForm, string>>;

export interface PrebuiltList {
  readonly protocolVersions: readonly string[];
  readonly latestProtocolVersion: string;
  readonly tools: readonly {
    readonly name: string;
    readonly toolsets: readonly string[];
    readonly forms: PrebuiltForms | null;
    /** Under `--read-only`; null for a tool that is not offered then. */
    readonly readOnlyForms: PrebuiltForms | null;
  }[];
}

/** What the front needs of the configuration. */
export type FrontConfig = Pick<Config, 'toolsets' | 'readOnly' | 'answers'>;

/**
 * @property reply the line to write, without its end; null for a notification
 * @property replay whether the server has to see the message too
 * @property last whether the server should take over now
 */
export interface Answer {
  reply: string | null;
  replay: boolean;
  last: boolean;
}

/** Answers the messages of one conversation in turn; null for one that the server has to answer. */
export class FrontAnswers {
  readonly #list: PrebuiltList;
  readonly #config: FrontConfig;
  readonly #version: string;
  /** The client's name; null before it has introduced itself, which it never does in the modern era. */
  #client: string | null = null;
  #era: Era | null = null;

  constructor(list: PrebuiltList, config: FrontConfig, version: string) {
    this.#list = list;
    this.#config = config;
    this.#version = version;
  }

  /** The era of the conversation; null while its messages fit both. */
  get era(): Era | null {
    return this.#era;
  }

  answer(line: string): Answer | null {
    const message = parsed(line);
    if (message === null || message['jsonrpc'] !== '2.0') return null;
    const { method, id, params } = message;
    if (method === 'notifications/initialized') {
      const plain = hasOnly(message, ['jsonrpc', 'method', 'params']) && isEmpty(params);
      return plain && this.#client !== null ? { reply: null, replay: true, last: false } : null;
    }
    if (!hasOnly(message, ['jsonrpc', 'id', 'method', 'params']) || !isId(id)) return null;
    const reply = (result: string): string =>
      `{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`;
    if (this.#era !== 'legacy' && isPlainEnvelope(params)) {
      // A client may ask for the revisions first and then choose the other era.
      if (method === 'server/discover') return { reply: reply(this.#discover()), replay: false, last: false };
      if (method !== 'tools/list') return null;
      this.#era = 'modern';
      return { reply: reply(this.#sharedTools()), replay: false, last: true };
    }
    if (method === 'initialize') {
      const result = this.#client === null ? this.#initialize(params) : null;
      return result === null ? null : { reply: reply(result), replay: true, last: false };
    }
    if (this.#client === null || !isPlainParams(params)) return null;
    if (method === 'ping') return { reply: reply('{}'), replay: false, last: false };
    if (method === 'tools/list')
      return { reply: reply(this.#tools(this.#client)), replay: false, last: true };
    return null;
  }

  #initialize(params: unknown): string | null {
    if (!isObject(params) || !hasOnly(params, ['protocolVersion', 'capabilities', 'clientInfo'])) return null;
    const { protocolVersion, capabilities, clientInfo } = params;
    if (typeof protocolVersion !== 'string' || !isPlainCapabilities(capabilities)) return null;
    if (!isPlainClient(clientInfo)) return null;
    this.#client = clientInfo.name;
    this.#era = 'legacy';
    const known = this.#list.protocolVersions.includes(protocolVersion);
    return JSON.stringify({
      protocolVersion: known ? protocolVersion : this.#list.latestProtocolVersion,
      capabilities: CAPABILITIES,
      serverInfo: serverInfo(this.#version),
      instructions: this.#instructions(),
    });
  }

  #discover(): string {
    return discoverResult(this.#version, this.#instructions());
  }

  #instructions(): string {
    return instructions(
      this.#offered().map(({ name }) => name),
      this.#list.tools.map(({ name }) => name),
    );
  }

  #offered(): { name: string; forms: PrebuiltForms }[] {
    const { toolsets, readOnly } = this.#config;
    return this.#list.tools.flatMap((tool) => {
      const forms = readOnly ? tool.readOnlyForms : tool.forms;
      const chosen = toolsets === 'all' || toolsets.some((name) => tool.toolsets.includes(name));
      return forms !== null && chosen ? [{ name: tool.name, forms }] : [];
    });
  }

  #tools(client: string): string {
    return `{"tools":${this.#toolsIn(answerForm(this.#config.answers, client))}}`;
  }

  /** The list for every client of the modern era, with the fields that allow them to cache it. */
  #sharedTools(): string {
    const form = sharedAnswerForm(this.#config.answers, undefined);
    return `{"tools":${this.#toolsIn(form)},${completeResult({}, this.#version).slice(1)}`;
  }

  #toolsIn(form: AnswerForm): string {
    return `[${this.#offered()
      .map(({ forms }) => forms[form])
      .join(',')}]`;
  }
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Nothing, or what asks for progress, of which there is none. */
function isPlainParams(params: unknown): boolean {
  if (isEmpty(params)) return true;
  if (!isObject(params) || !hasOnly(params, ['_meta'])) return false;
  const { _meta: meta } = params;
  return isObject(meta) && hasOnly(meta, ['progressToken']) && isId(meta['progressToken']);
}

function isId(value: unknown): boolean {
  return typeof value === 'string' || Number.isSafeInteger(value);
}

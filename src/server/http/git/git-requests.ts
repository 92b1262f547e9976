/**
 * Git's smart HTTP protocol, for fetching alone (gitprotocol-http(5)). Git runs in the sandbox; here its bytes
 * are passed on, and bounded.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Registry, SandboxOwner, SandboxView } from '../../../registry/types.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Refusal } from '../reply.ts';
import { readBytes } from '../request-body.ts';
import { FetchLimits } from './fetch-limits.ts';
import { type GitPath, parseGitPath } from './git-path.ts';
import type { Names } from './repository-names.ts';

/** Fits in the arguments of a program in the sandbox. Git sends 32 KiB to ask for a thousand commits. */
const MAX_REQUEST_BYTES = 1_048_576;
const MAX_ANSWER_BYTES = 4 * 1_024 ** 3;
const MAX_ANSWER_MS = 600_000;
const PROTOCOL = /^[a-z0-9=:.]{1,64}$/;
/** How version 2 begins; earlier ones need a line for HTTP before their answer. */
const VERSION_2 = '000eversion 2\n';
const SERVICE = '001e# service=git-upload-pack\n0000';

export interface GitRequestsOptions {
  names: Names;
  registry: Pick<Registry, 'uploadPack'>;
  /** Refuses callers who may not fetch from the sandbox; null for an unknown name. */
  admit(request: IncomingMessage, sandbox: SandboxOwner | null): Promise<Refusal | null>;
  log: Logger;
  /** For tests. */
  maxAnswerBytes?: number;
}

export const NO_REPOSITORY: Refusal = {
  status: 404,
  message: 'There is no such repository, or its sandbox has ended.',
};

export class GitRequests {
  readonly #options: GitRequestsOptions;
  readonly #limits = new FetchLimits();

  constructor(options: GitRequestsOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = parseGitPath(request.url ?? '');
    const sandbox = await this.#options.names.find(path?.name ?? '');
    const refused = await this.#options.admit(request, sandbox);
    if (refused !== null) return refuse(response, refused);
    if (path === null || sandbox === null) return refuse(response, NO_REPOSITORY);
    const invalid = invalidUse(request, path);
    if (invalid !== null) return refuse(response, invalid);
    const body = path.endpoint === 'info/refs' ? { text: null } : await readRequest(request);
    if ('aborted' in body) return;
    if ('refused' in body) return refuse(response, body.refused);
    const fetch = this.#limits.begin(sandbox);
    if ('status' in fetch) return refuse(response, fetch);
    try {
      await this.#answer(path, sandbox, body.text, request, response);
    } finally {
      fetch.end();
    }
  }

  async #answer(
    { repository }: GitPath,
    { sandboxId }: SandboxOwner,
    text: string | null,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { registry, log, maxAnswerBytes = MAX_ANSWER_BYTES } = this.#options;
    const ended = new AbortController();
    response.once('close', () => ended.abort());
    const timer = setTimeout(() => ended.abort(), MAX_ANSWER_MS);
    const wanted = { sandboxId, path: repository, request: text, protocol: protocolOf(headers) };
    let chunks: AsyncIterator<Buffer> | null = null;
    try {
      chunks = registry.uploadPack(wanted, ended.signal)[Symbol.asyncIterator]();
      const first = await chunks.next();
      const begin = text === null ? 'advertisement' : 'result';
      response.writeHead(200, { 'content-type': `application/x-git-upload-pack-${begin}`, ...HEADERS });
      await pipeline(Readable.from(bounded(text === null, first, chunks, maxAnswerBytes)), response);
    } catch (error) {
      if (!ended.signal.aborted) log.debug({ sandbox_id: sandboxId, err: error }, 'a fetch failed');
      refuse(response, refusalOf(error));
      // Once the answer has begun, only the end of the connection tells the client.
      if (!response.writableEnded) response.destroy();
    } finally {
      clearTimeout(timer);
      ended.abort();
      // A client that left before the first chunk has kept `pipeline` from reading, and so from ending, them.
      await chunks?.return?.().catch((error: unknown) => {
        log.debug({ sandbox_id: sandboxId, err: error }, 'a fetch could not be ended');
      });
    }
  }
}

/** An answer's bytes. What exceeds the limit cuts the connection: half of a pack is no pack. */
async function* bounded(
  advertises: boolean,
  first: IteratorResult<Buffer>,
  rest: AsyncIterator<Buffer>,
  limit: number,
): AsyncGenerator<Buffer> {
  const start: Buffer = first.done ? Buffer.alloc(0) : first.value;
  if (advertises && !start.toString('latin1', 0, VERSION_2.length).startsWith(VERSION_2))
    yield Buffer.from(SERVICE);
  let bytes = start.length;
  yield start;
  for await (const chunk of { [Symbol.asyncIterator]: () => rest }) {
    bytes += chunk.length;
    if (bytes > limit) throw new SandboxError('limit_exceeded', `The answer exceeds ${limit} bytes.`);
    yield chunk;
  }
}

const ENDED = ['stopped', 'aborted', 'failed'] satisfies SandboxView['status'][];
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

function invalidUse({ method, headers }: IncomingMessage, path: GitPath): Refusal | null {
  const { endpoint, service } = path;
  if (endpoint === 'git-receive-pack' || service === 'git-receive-pack')
    return { status: 403, message: 'A sandbox takes no pushes; sandbox_upload_file copies files into it.' };
  const allow = endpoint === 'info/refs' ? 'GET' : 'POST';
  if (method !== allow) return { status: 405, message: `Use ${allow}.`, headers: { allow } };
  if (endpoint === 'info/refs' && service !== 'git-upload-pack')
    return { status: 403, message: 'This needs a client of the smart HTTP protocol, such as git fetch.' };
  const type = headers['content-type'];
  if (endpoint === 'info/refs' || type === 'application/x-git-upload-pack-request') return null;
  return { status: 415, message: 'Content-Type must be application/x-git-upload-pack-request.' };
}

async function readRequest(
  request: IncomingMessage,
): Promise<{ text: string } | { refused: Refusal } | { aborted: true }> {
  const body = await readBytes(request, MAX_REQUEST_BYTES);
  if (!('bytes' in body)) return body;
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity' && encoding !== 'gzip')
    return { refused: { status: 415, message: 'Content-Encoding must be gzip.' } };
  try {
    const limit = { maxOutputLength: MAX_REQUEST_BYTES };
    const bytes = encoding === 'gzip' ? await promisify(gunzip)(body.bytes, limit) : body.bytes;
    // A fetch is text, with the names of branches in UTF-8.
    if (!bytes.includes(0) && isUtf8(bytes)) return { text: bytes.toString() };
  } catch (error) {
    if (systemErrorCode(error) === 'ERR_BUFFER_TOO_LARGE')
      return { refused: { status: 413, message: `The request exceeds ${MAX_REQUEST_BYTES} bytes.` } };
  }
  return { refused: { status: 400, message: 'The request is not one of git fetch.' } };
}

function protocolOf(headers: IncomingMessage['headers']): string | null {
  const value = headers['git-protocol'];
  return typeof value === 'string' && PROTOCOL.test(value) ? value : null;
}

/** Other conflicts pass: a sandbox is not running yet, is being snapshotted, or was restarted. */
function hasSandboxEnded({ code, details }: SandboxError): boolean {
  return code === 'conflict' && ENDED.some((status) => status === details['status']);
}

function refusalOf(error: unknown): Refusal {
  if (!(error instanceof SandboxError)) return { status: 500, message: 'Internal error.' };
  if (hasSandboxEnded(error)) return NO_REPOSITORY;
  const message = `${error.message} ${error.hint}`;
  if (error.code === 'not_found') return { status: 404, message };
  return { status: error.code === 'unsupported' ? 501 : 503, message };
}

/** As plain text, which git shows. Does nothing once the response has begun. */
function refuse(response: ServerResponse, { status, message, headers }: Refusal): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers });
  response.end(`${message}\n`);
}

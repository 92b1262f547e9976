import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Registry, SandboxOwner } from '../../../registry/types.ts';
import type { Logger } from '../../../shared/log.ts';
import { checkHost } from '../host-check.ts';
import { GIT_PATH } from './git-path.ts';
import { GitRequests, NO_REPOSITORY } from './git-requests.ts';
import { RepositoryNames } from './repository-names.ts';

const HOST = '127.0.0.1';
const RULES = { loopback: true, names: ['localhost'], origins: [] };

export interface GitListener {
  /** The URL of a sandbox's repositories: anyone who knows one may fetch. */
  urlOf(sandbox: SandboxOwner): string;
  /** Also ends what is being fetched. */
  close(): void;
}

/** Listens on the loopback of this machine, for a server on stdio. Does not keep the process alive. */
export async function listenForGit(
  registry: Pick<Registry, 'uploadPack'>,
  log: Logger,
): Promise<GitListener> {
  const names = new RepositoryNames();
  const requests = new GitRequests({
    names,
    registry,
    log,
    admit: async ({ headers }, sandbox) =>
      checkHost(headers, RULES) ?? (sandbox === null ? NO_REPOSITORY : null),
  });
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    requests.handle(request, response).catch((error: unknown) => {
      log.error({ err: error }, 'a fetch failed');
      response.destroy();
    });
  });
  server.on('connection', (socket) => socket.unref());
  server.listen(0, HOST);
  await once(server, 'listening');
  // For good: a connection that cannot be accepted must not end this process.
  server.on('error', (error) => log.warn({ err: error }, 'the listener for git failed'));
  server.unref();
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no address');
  return {
    urlOf: (sandbox) => `http://${HOST}:${address.port}${GIT_PATH}${names.nameOf(sandbox)}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

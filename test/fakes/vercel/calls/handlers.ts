/** Maps each call to its handler. */
import type { Cloud } from '../cloud/cloud.ts';
import type { Operation } from '../wire/operations.ts';
import type { ApiRequest, Reply } from '../wire/reply.ts';
import { getCommand, killCommand, runCommand, streamLogs, waitForCommand } from './command-calls.ts';
import { makeDirectory, readFile, writeFiles } from './file-calls.ts';
import type { Terminals } from './interactive.ts';
import { createSandbox, deleteSandbox, getSandbox, listSandboxes, updateSandbox } from './sandbox-calls.ts';
import { extendTimeout, getSession, listSessions, setNetworkPolicy, stopSession } from './session-calls.ts';
import { createSnapshot, deleteSnapshot, getSnapshot, listSnapshots } from './snapshot-calls.ts';

export type Handlers = Record<Operation, (request: ApiRequest) => Promise<Reply>>;

export function handlersOf(cloud: Cloud, terminals: Terminals, project: string): Handlers {
  return {
    'sandbox.create': (request) => createSandbox(cloud, request, project),
    'sandbox.get': (request) => getSandbox(cloud, request),
    'sandbox.list': (request) => listSandboxes(cloud, request),
    'sandbox.update': (request) => updateSandbox(cloud, request),
    'sandbox.delete': (request) => deleteSandbox(cloud, request),
    'session.list': (request) => listSessions(cloud, request),
    'session.get': (request) => getSession(cloud, request),
    'session.stop': (request) => stopSession(cloud, request),
    'session.extend-timeout': (request) => extendTimeout(cloud, request),
    'session.network-policy': (request) => setNetworkPolicy(cloud, request),
    'session.snapshot': (request) => createSnapshot(cloud, request),
    'session.interactive': (request) => terminals.open(request),
    'command.run': (request) => runCommand(cloud, request),
    'command.get': (request) => getCommand(cloud, request),
    'command.wait': (request) => waitForCommand(cloud, request),
    'command.kill': (request) => killCommand(cloud, request),
    'command.logs': (request) => streamLogs(cloud, request),
    'file.mkdir': (request) => makeDirectory(cloud, request),
    'file.write': (request) => writeFiles(cloud, request),
    'file.read': (request) => readFile(cloud, request),
    'snapshot.get': (request) => getSnapshot(cloud, request),
    'snapshot.list': (request) => listSnapshots(cloud, request),
    'snapshot.delete': (request) => deleteSnapshot(cloud, request),
  };
}

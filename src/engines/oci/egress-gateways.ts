/** The gateways of the sandboxes that this process has made or taken up. */
import { type FSWatcher, watch } from 'node:fs';
import { parseRangeWithPort, type Range } from '../../egress/addresses.ts';
import type { NetworkActivity } from '../../egress/connection-log.ts';
import { Gateway, hostAddresses } from '../../egress/gateway.ts';
import type { CredentialRule } from '../../egress/header-rules.ts';
import { type Lookup, systemLookup } from '../../egress/names.ts';
import { compilePolicy, type Ground, type Policy } from '../../egress/policy.ts';
import { SandboxError } from '../../shared/errors.ts';
import { KeyedLock } from '../../shared/keyed-lock.ts';
import type { Logger } from '../../shared/log.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { NetworkPolicy } from '../engine.ts';
import { EgressSocket } from './egress-socket.ts';
import { GatewayKeys } from './gateway-keys.ts';
import type { Host } from './host.ts';
import type { SandboxPaths } from './layout.ts';
import { readRecord } from './sandbox-record.ts';

export interface EgressOptions {
  /** Ranges that the operator opens, each `CIDR` or `CIDR:port`. */
  readonly allow: readonly string[];
  /** Name servers to ask, each `address` or `address:port`; none: the host's own. */
  readonly dns: readonly string[];
  /** A file of authorities, PEM, that servers may be certified by beside the host's; null or left out: none. */
  readonly authorities?: string | null;
}

interface Open {
  /** As the agent sees it, without the engine's own rules. */
  policy: NetworkPolicy;
  readonly gateway: Gateway;
  readonly socket: EgressSocket;
  readonly watcher: FSWatcher;
}

export class EgressGateways {
  readonly #open = new Map<string, Open>();
  readonly #credentials = new Map<string, Set<readonly CredentialRule[]>>();
  readonly #lock = new KeyedLock();
  readonly #log: Logger;
  readonly #ground: Ground;
  readonly #lookup: Lookup;
  readonly #secrets: SecretStore;
  readonly #keys: GatewayKeys;

  constructor(options: EgressOptions, secrets: SecretStore, log: Logger) {
    this.#log = log;
    this.#secrets = secrets;
    this.#ground = { opened: options.allow.map(operatorRange), ownAddresses: hostAddresses };
    this.#lookup = systemLookup(options.dns);
    this.#keys = new GatewayKeys(options.authorities ?? null, log);
  }

  /** Reads a policy; throws `invalid_argument` where it makes no sense, `permission` for a secret out of its place. */
  compile(policy: NetworkPolicy): Policy {
    return compilePolicy(policy, this.#ground, { secrets: this.#secrets });
  }

  /**
   * Sets headers on requests of a sandbox beside its policy's, which still decides what passes. They act from the next
   * request on, in a gateway that is brought up later too, and nobody is shown them; a server that takes the sandbox up
   * does not have them.
   *
   * @returns what takes them away again, to be called at the latest when the sandbox ends
   * @throws `invalid_argument` for a domain, match or header that makes no sense
   */
  addCredentials(sandboxId: string, rules: readonly CredentialRule[]): () => void {
    compilePolicy({ mode: 'deny-all' }, this.#ground, { credentials: rules });
    const present = this.#credentials.get(sandboxId) ?? new Set();
    this.#credentials.set(sandboxId, present.add(rules));
    this.#enforceAnew(sandboxId);
    return () => {
      present.delete(rules);
      if (present.size === 0) this.#credentials.delete(sandboxId);
      this.#enforceAnew(sandboxId);
    };
  }

  #compileFor(sandboxId: string, policy: NetworkPolicy): Policy {
    const credentials = [...(this.#credentials.get(sandboxId) ?? [])].flat();
    return compilePolicy(policy, this.#ground, { secrets: this.#secrets, credentials });
  }

  #enforceAnew(sandboxId: string): void {
    const open = this.#open.get(sandboxId);
    open?.gateway.enforce(this.#compileFor(sandboxId, open.policy));
  }

  /** Brings a sandbox's gateway up here, unless it is up already. */
  open(host: Host, sandboxId: string, paths: SandboxPaths, policy: NetworkPolicy): Promise<void> {
    return this.#lock.run(sandboxId, async () => {
      const present = this.#open.get(sandboxId);
      if (present !== undefined && (await present.socket.isCurrent())) return;
      await this.#shut(sandboxId);
      await this.#bringUp(host, sandboxId, paths, policy);
    });
  }

  async #bringUp(host: Host, sandboxId: string, paths: SandboxPaths, policy: NetworkPolicy): Promise<void> {
    const log = this.#log.child({ sandbox_id: sandboxId });
    const gateway = new Gateway({
      policy: this.#compileFor(sandboxId, policy),
      lookup: this.#lookup,
      tls: await this.#keys.of(host, paths),
      onEntry: (entry) => log.debug({ connection: entry }, 'a connection of a sandbox is over'),
      onDefect: (error) => log.error({ err: error }, 'a connection of a sandbox could not be carried'),
    });
    const owner = { uid: host.idMap.hostUid, gid: host.idMap.hostGid };
    const socket = await EgressSocket.open(paths.agent, owner, {
      connection: (connection) => gateway.take(connection),
      query: (bytes) => gateway.query(bytes),
    });
    const watcher = watch(paths.dir, { persistent: false }, (_event, name) => {
      if (name === 'record.json') this.#refresh(host, sandboxId);
    });
    watcher.on('error', () => watcher.close());
    this.#open.set(sandboxId, { policy, gateway, socket, watcher });
    // A change that came before the watcher did is not lost.
    const record = await readRecord(host.layout, sandboxId);
    this.enforce(sandboxId, record.networkPolicy);
    // It may have ended meanwhile, and nobody else would close what was opened too late.
    if (record.endedAt !== null || record.status === 'stopping') await this.#shut(sandboxId);
  }

  /** Puts a policy in force at once where the gateway is here. */
  enforce(sandboxId: string, policy: NetworkPolicy): void {
    const open = this.#open.get(sandboxId);
    if (open === undefined) return;
    const compiled = this.#compileFor(sandboxId, policy);
    open.policy = policy;
    open.gateway.enforce(compiled);
  }

  /** Null where the gateway is not here. */
  activity(sandboxId: string): NetworkActivity | null {
    return this.#open.get(sandboxId)?.gateway.activity() ?? null;
  }

  close(sandboxId: string): Promise<void> {
    return this.#lock.run(sandboxId, () => this.#shut(sandboxId));
  }

  async #shut(sandboxId: string): Promise<void> {
    const present = this.#open.get(sandboxId);
    this.#open.delete(sandboxId);
    if (present === undefined) return;
    present.watcher.close();
    present.gateway.close();
    await present.socket.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((sandboxId) => this.close(sandboxId)));
  }

  /** Another process may have changed the policy: what is on disk is in force. */
  #refresh(host: Host, sandboxId: string): void {
    readRecord(host.layout, sandboxId)
      .then((record) => this.enforce(sandboxId, record.networkPolicy))
      .catch((error: unknown) => {
        // A record that cannot be read says nothing about what is allowed: closed, not open.
        this.#log.warn({ sandbox_id: sandboxId, err: error }, 'a network policy could not be read anew');
        this.enforce(sandboxId, { mode: 'deny-all' });
      });
  }
}

function operatorRange(text: string): Range {
  const range = parseRangeWithPort(text);
  if (range !== null) return range;
  throw new SandboxError('invalid_argument', `--egress-allow: ${JSON.stringify(text)} is no range.`, {
    hint: 'Give a range such as 10.1.0.0/16, or 10.1.2.3/32:5432 for one port of it.',
  });
}

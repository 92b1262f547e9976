/** The egress gateways of the sandboxes that this process serves. */

import { activityOf, type NetworkActivity } from '../../../egress/connection/connection-log.ts';
import type { CredentialRule } from '../../../egress/policy/header-rules.ts';
import { hostAddresses } from '../../../egress/policy/host-addresses.ts';
import { parseRangeWithPort, type Range } from '../../../egress/policy/ip-ranges.ts';
import {
  type Lookup,
  type RecordLookup,
  systemLookup,
  systemRecordLookup,
} from '../../../egress/policy/name-cache.ts';
import { compilePolicy, type HostNetwork, type Policy } from '../../../egress/policy/policy.ts';
import { KeyedLock } from '../../../shared/async/keyed-lock.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import type { SecretStore } from '../../../shared/secrets.ts';
import type { NetworkPolicy } from '../../engine.ts';
import type { Host } from '../host/host.ts';
import { readRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import { sandboxIds } from '../storage/sandbox-ids.ts';
import { EgressGateway } from './egress-gateway.ts';
import { readEgressLog } from './egress-log.ts';
import { TlsKeyProviders } from './tls-key-provider.ts';

export interface EgressOptions {
  /** Private ranges that the operator allows, each `CIDR` or `CIDR:port`. */
  readonly allow: readonly string[];
  /** Upstream name servers, each `address` or `address:port`; empty: the host's own. */
  readonly dns: readonly string[];
  /** Whether to refuse TLS clients that send an encrypted client hello. Default: false. */
  readonly refuseEch?: boolean;
  /** Network quota of a sandbox in bytes, in and out together; null: no limit. */
  readonly maxBytes: number | null;
  /** PEM file of CAs to trust in addition to the host's; null or omitted: none. */
  readonly authorities?: string | null;
}

interface Open {
  /** The policy as the caller sees it, without the engine's own rules. */
  policy: NetworkPolicy;
  readonly gateway: EgressGateway;
}

export class EgressGatewayPool {
  readonly #open = new Map<string, Open>();
  readonly #credentials = new Map<string, Set<readonly CredentialRule[]>>();
  readonly #lock = new KeyedLock();
  readonly #log: Logger;
  readonly #hostNetwork: HostNetwork;
  readonly #lookup: Lookup;
  readonly #lookupRecords: RecordLookup;
  readonly #refuseEch: boolean;
  readonly #maxBytes: number | null;
  readonly #secrets: SecretStore;
  readonly #keys: TlsKeyProviders;

  constructor(options: EgressOptions, secrets: SecretStore, log: Logger) {
    this.#log = log;
    this.#secrets = secrets;
    this.#hostNetwork = { opened: options.allow.map(operatorRange), ownAddresses: hostAddresses() };
    this.#lookup = systemLookup(options.dns);
    this.#lookupRecords = systemRecordLookup(options.dns);
    this.#refuseEch = options.refuseEch ?? false;
    this.#maxBytes = options.maxBytes;
    this.#keys = new TlsKeyProviders(options.authorities ?? null, log);
  }

  /**
   * Compiles a policy; throws `invalid_argument` if it is invalid, `permission` for a secret that may not be
   * used there.
   */
  compile(policy: NetworkPolicy): Policy {
    return compilePolicy(policy, this.#hostNetwork, { secrets: this.#secrets });
  }

  /**
   * Sets headers on a sandbox's requests in addition to its policy's; the policy still decides what is
   * allowed. They apply from the next request on, also in a gateway that is started later, and are never
   * shown. A server that takes over the sandbox does not have them.
   *
   * @returns a function that removes them, to be called at the latest when the sandbox ends
   * @throws `invalid_argument` for an invalid domain, match or header
   */
  addCredentials(sandboxId: string, rules: readonly CredentialRule[]): () => void {
    compilePolicy({ mode: 'deny-all' }, this.#hostNetwork, { credentials: rules });
    const present = this.#credentials.get(sandboxId) ?? new Set();
    this.#credentials.set(sandboxId, present.add(rules));
    this.#reenforce(sandboxId);
    return () => {
      present.delete(rules);
      if (present.size === 0) this.#credentials.delete(sandboxId);
      this.#reenforce(sandboxId);
    };
  }

  #compileFor(sandboxId: string, policy: NetworkPolicy): Policy {
    const credentials = [...(this.#credentials.get(sandboxId) ?? [])].flat();
    return compilePolicy(policy, this.#hostNetwork, { secrets: this.#secrets, credentials });
  }

  #reenforce(sandboxId: string): void {
    const open = this.#open.get(sandboxId);
    if (open !== undefined) this.enforce(sandboxId, open.policy);
  }

  /** Starts a sandbox's gateway in this process unless it is running; takes it over from another process. */
  open(host: Host, sandboxId: string, paths: SandboxPaths, policy: NetworkPolicy): Promise<void> {
    return this.#lock.run(sandboxId, async () => {
      const present = this.#open.get(sandboxId);
      if (present !== undefined) {
        await present.gateway.takePlace();
        return;
      }
      const { hostUid, hostGid } = sandboxIds(host, await readRecord(host.layout, sandboxId));
      const gateway = await EgressGateway.open({
        place: {
          program: host.agent,
          dir: paths.dir,
          agentDir: paths.agent,
          owner: { uid: hostUid, gid: hostGid },
        },
        policy: this.#compileFor(sandboxId, policy),
        lookup: this.#lookup,
        lookupRecords: this.#lookupRecords,
        refuseEch: this.#refuseEch,
        maxBytes: this.#maxBytes,
        tls: await this.#keys.of(host, paths),
        log: this.#log.child({ sandbox_id: sandboxId }),
        freed: () => this.#later(sandboxId, (gateway) => gateway.takePlace(), host),
        changed: () => this.#later(sandboxId, () => Promise.resolve(), host),
      });
      this.#open.set(sandboxId, { policy, gateway });
      // Read once more: the record may have changed before the watch began.
      await this.#refresh(host, sandboxId);
    });
  }

  /** Applies a policy at once if the gateway runs in this process. */
  enforce(sandboxId: string, policy: NetworkPolicy): void {
    const open = this.#open.get(sandboxId);
    if (open === undefined) return;
    const compiled = this.#compileFor(sandboxId, policy);
    open.policy = policy;
    open.gateway.enforce(compiled);
  }

  /** A sandbox's network activity, as recorded by this process and earlier ones. */
  async activity(paths: SandboxPaths, sandboxId: string): Promise<NetworkActivity> {
    const here = this.#open.get(sandboxId)?.gateway.activity();
    return here ?? activityOf(await readEgressLog(paths.dir), this.#maxBytes);
  }

  close(sandboxId: string): Promise<void> {
    return this.#lock.run(sandboxId, () => this.#shut(sandboxId));
  }

  async #shut(sandboxId: string): Promise<void> {
    const present = this.#open.get(sandboxId);
    this.#open.delete(sandboxId);
    await present?.gateway.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((sandboxId) => this.close(sandboxId)));
  }

  /** Rereads the record, then updates the gateway if it still exists. */
  #later(sandboxId: string, work: (gateway: EgressGateway) => Promise<void>, host: Host): void {
    this.#lock
      .run(sandboxId, async () => {
        if (!this.#open.has(sandboxId)) return;
        await this.#refresh(host, sandboxId);
        const present = this.#open.get(sandboxId);
        if (present !== undefined) await work(present.gateway);
      })
      .catch((error: unknown) => {
        this.#log.warn({ sandbox_id: sandboxId, err: error }, 'cannot restart a gateway');
      });
  }

  /** Another process may have changed the policy or ended the sandbox: the record on disk decides. */
  async #refresh(host: Host, sandboxId: string): Promise<void> {
    try {
      const record = await readRecord(host.layout, sandboxId);
      const ends = record.endedAt !== null || record.status === 'stopping';
      // Nobody else would close a gateway that was opened, or came back, while its sandbox was being cleaned
      // up.
      if (ends || (record.init !== null && !isProcessAlive(record.init))) await this.#shut(sandboxId);
      else this.enforce(sandboxId, record.networkPolicy);
    } catch (error) {
      // Fail closed: an unreadable record does not say what is allowed.
      this.#log.warn({ sandbox_id: sandboxId, err: error }, 'cannot reload a network policy');
      this.enforce(sandboxId, { mode: 'deny-all' });
    }
  }
}

function operatorRange(text: string): Range {
  const range = parseRangeWithPort(text);
  if (range !== null) return range;
  throw new SandboxError('invalid_argument', `--egress-allow: ${JSON.stringify(text)} is not a range.`, {
    hint: 'Use a range such as 10.1.0.0/16, or 10.1.2.3/32:5432 for a single port.',
  });
}

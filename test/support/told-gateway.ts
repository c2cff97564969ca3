/**
 * A gateway that sees no packet: the kernel's programs handle them, without any device, and it is told by their reports.
 * Destination 0 lies behind all its routes.
 */
import { expect, vi } from 'vitest';
import { ReportReader } from '../../lib/ebpf/report-reader.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { GatewayVerifier } from '../../lib/ebpf/verify/gateway-verifier.ts';
import type { DatapathPort } from '../../lib/pref/datapath-port.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { clockOriginNs } from '../../lib/sys/clock.ts';

/** Routes with path IDs 1, 2 and 3. */
export const ROUTES = [1, 2, 3].map((pathId) => ({ pathId, name: `r${pathId}` }));
/** The host inside, the one outside, and destination 0, in which that is. */
export const INSIDE = '10.0.0.1';
export const OUTSIDE = '10.0.1.1';
export const OUTSIDE_PREFIX = '10.0.1.0/24';

const NS_PER_MS = 1e6;

/** The programs with a core beside them, and the gateway that hears of it. */
export class ToldGateway {
  readonly verifier = new GatewayVerifier();
  readonly gateway: PrefGateway;
  readonly port: DatapathPort;
  readonly reader: ReportReader;
  /** Called when the process was woken and read reports. */
  readonly onReports = vi.fn();

  /**
   * @param programOptions - of the programs
   * @param more - of the gateway alone
   */
  constructor(
    programOptions: Partial<GatewayOptions> & { readonly seed: number },
    more: Partial<GatewayOptions> = {},
  ) {
    const options = { routes: ROUTES, ...programOptions };
    const pathIds = ROUTES.map(({ pathId }) => pathId);
    this.verifier.restart(options, [{ prefixes: [OUTSIDE_PREFIX], pathIds }]);
    this.gateway = new PrefGateway({ ...options, ...more });
    this.gateway.addDestination([OUTSIDE_PREFIX], pathIds);
    this.port = this.gateway.openPort();
    const indices = { coreOf: (index: number) => index, indexOf: (destination: number) => destination };
    this.reader = new ReportReader(this.port, this.verifier.programs, indices, this.onReports);
    // What ran before left reports of another time.
    this.reader.takeAll();
  }

  /** Gives a packet to the programs and to the core beside them, which come to the same. @returns the reason */
  handle(isOutbound: boolean, packet: Uint8Array, nowMs: number): number | string {
    const nowNs = Math.ceil(nowMs * NS_PER_MS + clockOriginNs);
    this.verifier.writer.bytes.set(packet, ETHERNET_BYTES);
    const outcome = this.verifier.handle({ isOutbound, length: packet.length, nowNs, gsoSize: 0 });
    expect(outcome).toBeTypeOf('number');
    return outcome;
  }

  close(): void {
    this.reader.close();
    this.verifier.close();
  }
}

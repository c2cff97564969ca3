/**
 * What the gateway's programs report, without any device: a gateway that is told by reports alone comes to what one comes
 * to that sees every packet. Flows from inside send data by routes 1, 2 and 3, and are answered an RTT later.
 */
import { setImmediate } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { selfTuning } from '../../lib/pref/index.ts';
import {
  METER_BYTES,
  METER_FIELDS,
  METER_FLOWLETS,
  METER_FNE_REPEAT_BYTES,
  METER_LEX_BYTES,
} from '../../lib/pref/meter.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, CODEPOINT_LEX } from '../../lib/wire/marking/codepoint.ts';
import { TCP_ACK, TCP_SYN } from '../../lib/wire/packet-view.ts';
import { describeNetns } from '../support/netns.ts';
import type { TcpFields } from '../support/packets.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';
import { INSIDE, OUTSIDE, OUTSIDE_PREFIX, ROUTES, ToldGateway } from '../support/told-gateway.ts';

const FLOWS = 36;
const FIRST_PORT = 5000;
const PERIOD_MS = 200;
const RTT_MS = 40;
const PAYLOAD = 100;
/** Long enough that a route is not new any more. */
const WARM_UP_MS = 25_000;
const NS_PER_MS = 1e6;
/** How often the reports are taken, and by how much the two decisions may differ. */
const TICK_MS = 25;
const DEAD_ROUTE = 2;

/** Senders, twelve on each route, and two gateways: one told by reports, one that handles every packet. */
class Senders {
  nowMs = 0;
  readonly hears: ToldGateway;
  readonly sees: PrefGateway;
  /** By flow: bytes that were sent. */
  readonly #sent = Array.from({ length: FLOWS }, () => 0);

  /** @param balancing - of both gateways */
  constructor(balancing: () => Partial<GatewayOptions> = () => ({})) {
    const options = { scheme: 'full', seed: 2 };
    this.hears = new ToldGateway(options, balancing());
    this.sees = new PrefGateway({ routes: ROUTES, ...options, ...balancing() });
    this.sees.addDestination([OUTSIDE_PREFIX], [1, 2, 3]);
    // No packet starts its clock.
    this.told.handleTimeout(0);
    const { port, verifier } = this.hears;
    const traffic = { markMask: 0x3f000000, measuresTurnover: port.measuresTurnover };
    verifier.programs.configure(verifier.core.settings, traffic);
  }

  get told(): PrefGateway {
    return this.hears.gateway;
  }

  routeOf(flow: number): number {
    return 1 + (flow % 3);
  }

  /** @param isAnswered - whether what a flow sent now will be answered */
  run(untilMs: number, isAnswered: (flow: number) => boolean): void {
    for (; this.nowMs < untilMs; this.nowMs++) {
      for (let flow = this.nowMs % PERIOD_MS; flow < FLOWS; flow += PERIOD_MS) {
        if (this.#sent[flow] === 0) this.send(flow, CODEPOINT_FNE, { tcpFlags: TCP_SYN });
        else this.send(flow, CODEPOINT_LECT, { tcpFlags: TCP_ACK, payloadLength: PAYLOAD });
        this.#sent[flow] += PAYLOAD;
      }
      for (let flow = (this.nowMs - RTT_MS) % PERIOD_MS; flow < FLOWS; flow += PERIOD_MS) {
        if (this.nowMs < RTT_MS || !isAnswered(flow)) continue;
        const isSyn = this.#sent[flow] === PAYLOAD;
        this.#answer(flow, { tcpFlags: isSyn ? TCP_ACK | TCP_SYN : TCP_ACK, ackNumber: this.#sent[flow] });
      }
      this.pass();
    }
  }

  /** A packet of a flow on its route. */
  send(flow: number, codepoint: number, fields: TcpFields): void {
    const ends = { src: INSIDE, dst: OUTSIDE, srcPort: FIRST_PORT + flow, dstPort: 443 };
    const dscp = (this.routeOf(flow) << 2) | codepoint;
    this.handle(true, buildTcp({ ...ends, dscp, seqNumber: this.#sent[flow], ...fields }));
  }

  handle(isOutbound: boolean, packet: Uint8Array): void {
    this.hears.handle(isOutbound, packet, this.nowMs);
    const nowNs = Math.ceil(this.nowMs * NS_PER_MS);
    if (isOutbound) this.sees.handleOutbound(viewOf(packet), 0, packet.length, nowNs);
    else this.sees.handleInbound(viewOf(packet), 0, packet.length, nowNs);
  }

  /** The time goes on: both gateways take up what waits. */
  pass(): void {
    this.hears.reader.takeAll();
    for (const gateway of [this.told, this.sees]) {
      if (gateway.pollTimeout() <= this.nowMs * NS_PER_MS) gateway.handleTimeout(this.nowMs * NS_PER_MS);
    }
  }

  /** Brings what the programs counted to the gateway that is told. */
  count(): void {
    const meters = this.hears.verifier.programs.readMeters(1);
    for (const slot of ROUTES.keys()) {
      const [bytes, lex, again, flowlets] = [
        ...[METER_BYTES, METER_LEX_BYTES, METER_FNE_REPEAT_BYTES, METER_FLOWLETS],
      ].map((field) => meters[slot * METER_FIELDS + field]);
      this.hears.port.meter.count(0, slot, bytes, lex, again, flowlets);
    }
  }

  #answer(flow: number, fields: TcpFields): void {
    const ends = { src: OUTSIDE, dst: INSIDE, srcPort: 443, dstPort: FIRST_PORT + flow };
    this.handle(false, buildTcp({ ...ends, ...fields }));
  }
}

/** The event loop takes up what is there, and what that leads to. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await setImmediate();
}

function withSenders(use: (world: Senders) => void, balancing?: () => Partial<GatewayOptions>): void {
  const world = new Senders(balancing);
  try {
    use(world);
  } finally {
    world.hears.close();
  }
}

const everyone = (): boolean => true;
const othersOnly = (flow: number): boolean => flow % 3 !== DEAD_ROUTE - 1;

describeNetns('flows that wait for an answer, reported by the programs', () => {
  it('suspend the route that fell silent before any loss is exposed, when the gateway does that sees every packet', () => {
    withSenders((world) => {
      world.run(WARM_UP_MS, everyone);
      expect(world.told.failureEvents()).toEqual([]);
      world.run(WARM_UP_MS + 1000, othersOnly);
      const [told, sees] = [world.told, world.sees].map((gateway) => gateway.failureEvents());
      expect(told).toMatchObject([
        { decision: 'suspended', pathId: DEAD_ROUTE, by: 'losses', failingFlows: 0 },
      ]);
      expect(told[0].overdueFlows).toBeGreaterThanOrEqual(4);
      expect(sees).toMatchObject([
        { decision: 'suspended', pathId: DEAD_ROUTE, by: 'losses', overdueFlows: told[0].overdueFlows },
      ]);
      // Decisions that wait are taken up at ticks of their own.
      expect(Math.abs(told[0].timeNs - sees[0].timeNs)).toBeLessThanOrEqual(TICK_MS * NS_PER_MS);
    });
  });

  it('are forgotten when a processor had no room for a report, which may have been of an answer', () => {
    withSenders((world) => {
      world.run(WARM_UP_MS, everyone);
      // A moment before it is enough, and before any of them sends again.
      world.run(WARM_UP_MS + 330, othersOnly);
      world.hears.port.forgetSending();
      while (world.sees.failureEvents().length === 0) world.run(world.nowMs + 1, othersOnly);
      world.run(world.nowMs + TICK_MS, othersOnly);
      expect(world.told.failureEvents()).toEqual([]);
    });
  });
});

describeNetns('the process', () => {
  it('is woken for a loss at once, and for what flows send no sooner than 5 ms after it was woken last', async () => {
    const world = new Senders();
    try {
      const send = (nowMs: number, flow: number, codepoint: number): void => {
        world.nowMs = nowMs;
        world.send(flow, codepoint, { tcpFlags: TCP_ACK, payloadLength: PAYLOAD });
      };
      send(1000, 0, CODEPOINT_LECT);
      await vi.waitFor(() => expect(world.hears.onReports).toHaveBeenCalledTimes(1));
      await turns();
      send(1004, 1, CODEPOINT_LECT);
      await turns();
      expect(world.hears.onReports).toHaveBeenCalledTimes(1);
      send(1005, 2, CODEPOINT_LECT);
      await vi.waitFor(() => expect(world.hears.onReports).toHaveBeenCalledTimes(2));
      await turns();
      send(1006, 3, CODEPOINT_LEX);
      await vi.waitFor(() => expect(world.hears.onReports).toHaveBeenCalledTimes(3));
    } finally {
      world.hears.close();
    }
  });
});

describeNetns('flows that only send', () => {
  const data = { tcpFlags: TCP_ACK, payloadLength: PAYLOAD };
  const dscp = (1 << 2) | CODEPOINT_LECT;
  const out = { src: INSIDE, dst: OUTSIDE, dstPort: 443, dscp, ...data };
  const back = { src: OUTSIDE, dst: INSIDE, srcPort: 443, ...data };

  it('are reported eight times a millisecond, as the gateway that sees every packet looks at eight', () => {
    withSenders((world) => {
      const noteSending = vi.spyOn(world.hears.port, 'noteSending');
      const sendInMs = (flows: number): void => {
        world.nowMs++;
        for (let i = 0; i < flows; i++) world.handle(true, buildTcp({ ...out, srcPort: 20_000 + i }));
        // None waits in the next millisecond, so that each could be reported.
        for (let i = 0; i < flows; i++)
          world.handle(false, buildTcp({ ...back, dstPort: 20_000 + i, payloadLength: 0 }));
        world.pass();
      };
      sendInMs(1);
      noteSending.mockClear();
      for (let ms = 0; ms < 20; ms++) sendInMs(40);
      expect(noteSending).toHaveBeenCalledTimes(20 * 8);
    });
  });

  it('are reported after a pause as often as in the longest tick of a kernel at most', () => {
    withSenders((world) => {
      const noteSending = vi.spyOn(world.hears.port, 'noteSending');
      world.nowMs = 5000;
      for (let i = 0; i < 200; i++) world.handle(true, buildTcp({ ...out, srcPort: 20_000 + i }));
      world.pass();
      expect(noteSending).toHaveBeenCalledTimes(10 * 8);
    });
  });

  it('are reported again every 10 ms while they wait for an answer', () => {
    withSenders((world) => {
      const noteSending = vi.spyOn(world.hears.port, 'noteSending');
      const times = [];
      for (world.nowMs = 1; world.nowMs <= 25; world.nowMs++) {
        world.handle(true, buildTcp({ ...out, srcPort: 20_000 }));
        world.pass();
      }
      for (const call of noteSending.mock.calls) times.push(Math.round(call[4] / NS_PER_MS));
      expect(times).toEqual([1, 11, 21]);
    });
  });

  it('wait no more when new data comes to them, of which one segment in 5 ms is reported then', () => {
    withSenders((world) => {
      const noteInbound = vi.spyOn(world.hears.port, 'noteInbound');
      world.nowMs = 1;
      world.handle(true, buildTcp({ ...out, srcPort: 20_000 }));
      world.handle(false, buildTcp({ ...back, dstPort: 20_000, seqNumber: 0, ackNumber: 7 }));
      world.nowMs = 20;
      world.handle(true, buildTcp({ ...out, srcPort: 20_000 }));
      world.pass();
      noteInbound.mockClear();
      for (let i = 1; i <= 5; i++)
        world.handle(false, buildTcp({ ...back, dstPort: 20_000, seqNumber: i * PAYLOAD, ackNumber: 7 }));
      world.pass();
      expect(noteInbound).toHaveBeenCalledTimes(1);
    });
  });
});

describeNetns('flowlets and losses, reported by the programs', () => {
  it('give self-tuning the turnover and the interval of a gateway that sees every packet', () => {
    const balancing = () => ({ balancer: selfTuning(), updateIntervalNs: 2e9 });
    withSenders((world) => {
      world.run(1900, everyone);
      // Of 300 flowlets that began in this interval and 36 old ones, each loses something.
      for (let i = 0; i < 300; i++) {
        const port = 20_000 + i;
        const dscp = CODEPOINT_FNE;
        world.handle(
          true,
          buildTcp({ src: INSIDE, dst: OUTSIDE, srcPort: port, dscp, tcpFlags: TCP_SYN, payloadLength: 0 }),
        );
        // A datagram that its application sends again.
        const lost = { src: INSIDE, dst: OUTSIDE, srcPort: port, payloadLength: 900 };
        world.handle(true, buildUdp({ ...lost, dscp: CODEPOINT_LEX }));
        world.handle(true, buildTcp({ ...lost, dscp: CODEPOINT_LEX, tcpFlags: TCP_ACK }));
      }
      world.nowMs = 2100;
      world.count();
      for (let i = 0; i < 4; i++) {
        world.nowMs++;
        world.pass();
      }
      const [told, sees] = [world.told, world.sees].map((gateway) => ({
        turnover: gateway.explainRatios(0).turnover,
        interval: gateway.updateIntervalNs,
        isPending: gateway.isIntervalPending,
        ratios: [1, 2, 3].map((pathId) => gateway.flowletRatio(0, pathId)),
      }));
      expect(told.turnover).toBeGreaterThan(0.2);
      expect(told).toEqual(sees);
    }, balancing);
  });
});

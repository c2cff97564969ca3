/** Gateways of one domain over a bus in memory, in virtual time: what is told when, cut off and back. */
import { beforeEach, describe, expect, it } from 'vitest';
import { mixed } from '../../../lib/pref/balancers/mixed.ts';
import { PrefGateway } from '../../../lib/pref/gateway.ts';
import type { Bus, BusHandlers, BusStatus } from '../../../lib/runtime/share/bus.ts';
import { GatewayShare } from '../../../lib/runtime/share/gateway-share.ts';
import type { OutMessage, RouteState } from '../../../lib/runtime/share/message.ts';
import { readMessage } from '../../../lib/runtime/share/message.ts';
import { buildTcp } from '../../support/packets.ts';

const S = 1e9;
const PREFIX = '198.51.100.0/24';
const PATH_IDS = [1, 2, 3];
const LECT_ON = (pathId: number): number => 8 * pathId + 3;
const LEX_ON = (pathId: number): number => 8 * pathId + 7;

let nowNs = 0;
let members: Member[] = [];
beforeEach(() => {
  nowNs = 0;
  members = [];
});

/** A bus whose messages arrive at once, at all members that are connected. */
class MemoryBus implements Bus {
  isConnected = false;
  readonly sent: OutMessage[] = [];
  handlers: BusHandlers | undefined;
  #waiting: readonly OutMessage[] = [];

  start(handlers: BusHandlers): void {
    this.handlers = handlers;
  }

  connect(): void {
    this.isConnected = true;
    for (const message of this.handlers!.onConnect()) this.#send(message);
    this.offer(this.#waiting);
  }

  offer(messages: readonly OutMessage[]): void {
    this.#waiting = this.isConnected ? [] : messages;
    if (this.isConnected) for (const message of messages) this.#send(message);
  }

  stop(farewell: OutMessage): void {
    if (this.isConnected) this.#send(farewell);
    this.isConnected = false;
  }

  get status(): BusStatus {
    const { isConnected, sent } = this;
    const rest = { attempts: 0, connections: 0, replaced: 0, lastError: null };
    return { isConnected, since: '', server: null, sent: sent.length, ...rest };
  }

  #send(message: OutMessage): void {
    this.sent.push(message);
    for (const { bus } of members) {
      if (bus !== this && bus.isConnected) bus.handlers!.onMessage(message.subject, message.data);
    }
  }
}

/** A gateway with its share. */
class Member {
  readonly core = new PrefGateway({
    routes: PATH_IDS.map((pathId) => ({ pathId, name: `l${pathId}` })),
    balancer: mixed({ betaE: 0.1, betaC: 0.3, betaL: 0.6 }),
  });
  readonly states = new Map<number, RouteState>();
  readonly bus = new MemoryBus();
  readonly share: GatewayShare;

  constructor(name: string, prefix = PREFIX) {
    this.core.addDestination([prefix], PATH_IDS);
    this.core.handleTimeout(nowNs);
    const routes = () =>
      PATH_IDS.map((pathId) => ({ name: `l${pathId}`, pathId, state: this.states.get(pathId) ?? 'up' }));
    this.share = new GatewayShare(
      { domain: 'example', name, keepIntervals: 3 },
      { core: this.core, routes },
      this.bus,
      () => nowNs,
    );
    members.push(this);
  }

  send(pathId: number, count: number, lex: number): void {
    for (let i = 0; i < count; i++) {
      const dscp = i < lex ? LEX_ON(pathId) : LECT_ON(pathId);
      const bytes = buildTcp({ src: '10.0.0.1', dst: '198.51.100.7', dscp, payloadLength: 1460 });
      this.core.handleOutbound(new DataView(bytes.buffer), 0, bytes.length, nowNs);
    }
  }

  get ratios(): number[] {
    return PATH_IDS.map((pathId) => this.core.flowletRatio(0, pathId));
  }
}

/** Lets the time go on, as the packet loop would. */
function run(untilNs: number): void {
  for (; nowNs <= untilNs; nowNs += 0.1 * S) {
    for (const { core, share } of members) {
      if (core.pollTimeout() <= nowNs) core.handleTimeout(nowNs);
      if (share.pollTimeout() <= nowNs) share.handleTimeout(nowNs);
    }
  }
}

/** One interval of different load behind two gateways. */
function load(a: Member, b: Member): void {
  a.send(1, 60, 6);
  a.send(2, 30, 0);
  b.send(2, 5, 2);
  b.send(3, 5, 0);
}

describe('gateways that are connected', () => {
  it('have the same ratios a moment after each interval, with load as different as it may be', () => {
    const [a, b] = [new Member('gw1'), new Member('gw2')];
    a.bus.connect();
    b.bus.connect();
    for (let interval = 1; interval <= 3; interval++) {
      load(a, b);
      run((10 * interval + 2) * S);
      expect(a.ratios).toEqual(b.ratios);
    }
    expect(a.ratios).not.toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect(a.share.status).toMatchObject({ messages: { bad: 0 }, peers: [{ name: 'gw2', isLive: true }] });
  });

  it('of which one is cut off balance each by itself, and agree again as soon as it is back', () => {
    const [a, b] = [new Member('gw1'), new Member('gw2')];
    a.bus.connect();
    b.bus.connect();
    load(a, b);
    run(12 * S);
    expect(a.ratios).toEqual(b.ratios);
    b.bus.isConnected = false;
    for (let interval = 2; interval <= 5; interval++) {
      load(a, b);
      run((10 * interval + 2) * S);
    }
    expect([a.share.status.peers[0].isLive, b.share.status.peers[0].isLive]).toEqual([false, false]);
    expect(a.ratios).not.toEqual(b.ratios);
    // Back in the middle of an interval: not its end is waited for.
    b.bus.connect();
    run(54 * S);
    expect(a.ratios).toEqual(b.ratios);
    expect(a.share.status.peers.map(({ isLive, ageSeconds }) => [isLive, ageSeconds < 3])).toEqual([
      [true, true],
    ]);
  });

  it('tell at once when a route goes or comes, and say goodbye', () => {
    const [a, b] = [new Member('gw1'), new Member('gw2')];
    a.bus.connect();
    b.bus.connect();
    run(2 * S);
    a.core.setRouteUp(3, false);
    a.states.set(3, 'drained');
    a.share.routesChanged();
    run(3 * S);
    expect(b.share.status.peers[0].routes.map(({ state }) => state)).toEqual(['up', 'up', 'drained']);
    a.share.stop();
    expect(b.share.status.peers).toEqual([]);
    expect(a.share.status.peers).toEqual([]);
  });

  it('answer many hellos with one message a second', () => {
    const a = new Member('gw1');
    a.bus.connect();
    run(0.5 * S);
    const before = a.bus.sent.length;
    for (let i = 0; i < 20; i++) new Member(`peer${i}`).bus.connect();
    run(1.5 * S);
    expect(a.bus.sent.length - before).toBe(1);
  });

  it('count what they cannot read, and what comes too fast, and go on', () => {
    const [a, b] = [new Member('gw1'), new Member('gw2')];
    a.bus.connect();
    b.bus.connect();
    for (let i = 0; i < 3000; i++)
      a.bus.handlers!.onMessage('preflex.v1.example.figures.gw3', new Uint8Array(3));
    const { refused, messages } = a.share.status;
    expect(refused.notJson + refused.tooMany).toBe(3000);
    expect([refused.tooMany > 900, messages.bad]).toEqual([true, 3000]);
    run(S);
    load(a, b);
    run(12 * S);
    expect(a.ratios).toEqual(b.ratios);
  });

  it('with another destination hear of each other, and balance by themselves', () => {
    const [a, b] = [new Member('gw1'), new Member('gw2', '203.0.113.0/24')];
    a.bus.connect();
    b.bus.connect();
    a.send(1, 10, 1);
    run(12 * S);
    expect(b.share.status.peers).toMatchObject([{ destinations: 0, unknownDestinations: 1 }]);
    expect(b.ratios).toEqual([1 / 3, 1 / 3, 1 / 3]);
  });
});

describe('an interval that is told', () => {
  it('is complete: while destinations still wait for their ratios only hello is said', () => {
    const a = new Member('gw1');
    for (let i = 0; i < 5000; i++) {
      const prefix = `100.${64 + (i >> 8)}.${i & 255}.`;
      a.core.addDestination([`${prefix}0/24`], [1, 2]);
      const bytes = buildTcp({ src: '10.0.0.1', dst: `${prefix}1`, dscp: LECT_ON(1) });
      a.core.handleOutbound(new DataView(bytes.buffer), 0, bytes.length, nowNs);
    }
    a.core.handleTimeout(10 * S);
    a.bus.connect();
    expect(a.bus.sent.map(({ subject }) => subject)).toEqual(['preflex.v1.example.hello.gw1']);
    a.share.routesChanged();
    a.share.handleTimeout(10 * S);
    expect(a.bus.sent).toHaveLength(1);
    a.core.handleTimeout(10 * S);
    a.share.handleTimeout(10 * S);
    const read = a.bus.sent.slice(1).map(({ subject, data }) => readMessage(subject, data));
    const told = read.flatMap((one) => (one.kind === 'figures' ? one.message.destinations : []));
    expect(told).toHaveLength(5000);
  });
});

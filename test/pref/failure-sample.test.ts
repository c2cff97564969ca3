import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_FAILURE_EVENTS, FailureEvents } from '../../lib/pref/failure-events.ts';
import { FLAG_PROBE, FlowSample, IDLE_MS } from '../../lib/pref/failure-sample.ts';
import {
  FNE,
  MS,
  SYN,
  SYN_ACK,
  gatewayWithRoutes,
  lexOn,
  letIn,
  sendOut,
  tcpIn,
  tcpOut,
} from './gateway-fixture.ts';

describe('the sample of flows', () => {
  test('keeps flows and groups consistent and bounded, whatever happens', () => {
    const step = fc.record({
      flow: fc.nat(400),
      group: fc.nat(30),
      action: fc.constantFrom('join', 'move', 'leave', 'expose', 'answer', 'pin'),
      waitMs: fc.constantFrom(0, 1, 50, 700, 2500),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const sample = new FlowSample(64, 8);
        let nowMs = 0x7fffff00 | 0;
        for (const { action, flow: id, group: route, waitMs } of steps) {
          nowMs = (nowMs + waitMs) | 0;
          const [h1, h2] = [Math.imul(id + 1, 0x9e3779b1), id];
          let group = sample.findGroup(route, route & 3);
          if (group < 0) group = sample.makeGroup(route, route & 3, nowMs);
          const flow = sample.find(h1, h2);
          if (group >= 0 && action === 'join' && flow < 0)
            sample.join(h1, h2, group, id & 1 ? FLAG_PROBE : 0, nowMs);
          else if (group >= 0 && action === 'move' && flow >= 0) sample.move(flow, group, 0, nowMs);
          else if (action === 'leave' && flow >= 0) sample.leave(flow);
          else if (action === 'expose' && flow >= 0) sample.addExposure(flow, nowMs);
          else if (action === 'answer' && flow >= 0) sample.noteAnswer(flow, nowMs);
          else if (group >= 0 && action === 'pin') sample.isPinned[group] = id & 1;
          const seen = new Set<number>();
          for (let g = 0; g < sample.groupCount; g++) {
            expect(sample.sizes[g]).toBeLessThanOrEqual(8);
            for (let i = 0; i < sample.sizes[g]; i++) {
              const member = sample.memberOf(g, i);
              expect(sample.groupOf(member)).toBe(g);
              seen.add(member);
            }
          }
          expect(seen.size).toBe(sample.sizes.reduce((sum, size) => sum + size, 0));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('gives the place of a flow that was silent for 2 s to another', () => {
    const sample = new FlowSample(64, 8);
    const group = sample.makeGroup(0, 0, 0);
    for (let i = 0; i < 8; i++) expect(sample.join(i, i, group, 0, 0)).toBeGreaterThanOrEqual(0);
    expect(sample.join(8, 8, group, 0, IDLE_MS)).toBe(-1);
    expect(sample.join(8, 8, group, 0, IDLE_MS + 1)).toBeGreaterThanOrEqual(0);
    expect(sample.sizes[group]).toBe(8);
  });

  test('holds as many routes as it has room for, and replaces those without traffic', () => {
    const sample = new FlowSample(64, 8);
    const made = Array.from({ length: 20 }, (_, destination) => sample.makeGroup(destination, 0, 0));
    expect(made.filter((group) => group >= 0)).toHaveLength(4);
    expect(sample.makeGroup(99, 0, 3000)).toBeGreaterThanOrEqual(0);
  });
});

describe('an answer to a flow', () => {
  /** A connection with one LEx packet sent after silence. */
  function failingFlow() {
    const gateway = gatewayWithRoutes();
    const { pathId } = sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN, seqNumber: 99 }), 0);
    letIn(gateway, tcpIn({ tcpFlags: SYN_ACK, seqNumber: 999, ackNumber: 100 }), 100 * MS);
    const { sample } = (gateway as unknown as { core: { failures: { sample: FlowSample } } }).core.failures;
    sendOut(gateway, tcpOut({ dscp: lexOn(pathId), seqNumber: 100, payloadLength: 10 }), 400 * MS);
    const exposures = (): number => {
      for (let group = 0; group < sample.groupCount; group++) {
        if (sample.sizes[group] > 0) return sample.exposuresOf(sample.memberOf(group, 0));
      }
      return -1;
    };
    expect(exposures()).toBe(1);
    return { gateway, exposures, pathId };
  }

  test.each([
    ['an acknowledgment of what was lost', { ackNumber: 110 }, 0],
    ['a duplicate acknowledgment: something arrived', { ackNumber: 100, seqNumber: 1000 }, 0],
    ['data with an acknowledgment of what was lost', { ackNumber: 110, payloadLength: 5 }, 0],
    ['a reset', { ackNumber: 100, tcpFlags: 4 | 16 }, 0],
  ])('is %s', (_, fields, left) => {
    const { gateway, exposures } = failingFlow();
    letIn(gateway, tcpIn(fields), 450 * MS);
    expect(exposures()).toBe(left);
  });

  test.each([
    ['data that does not acknowledge it', { ackNumber: 100, seqNumber: 1000, payloadLength: 500 }],
    ['a repeated SYN-ACK', { tcpFlags: SYN_ACK, seqNumber: 999, ackNumber: 100 }],
    ['a FIN that does not acknowledge it', { tcpFlags: 17, seqNumber: 1000, ackNumber: 100 }],
  ])('is not %s', (_, fields) => {
    const { gateway, exposures } = failingFlow();
    letIn(gateway, tcpIn(fields), 450 * MS);
    expect(exposures()).toBe(1);
  });

  test('is missing when LEx comes right after an acknowledgment: that is fast retransmission', () => {
    const { gateway, exposures, pathId } = failingFlow();
    letIn(gateway, tcpIn({ ackNumber: 100, seqNumber: 1000 }), 500 * MS);
    sendOut(gateway, tcpOut({ dscp: lexOn(pathId), seqNumber: 100, payloadLength: 10 }), 501 * MS);
    expect(exposures()).toBe(0);
  });
});

describe('the list of events', () => {
  test('keeps the last 256, numbered, so that a reader sees gaps', () => {
    const events = new FailureEvents();
    for (let i = 0; i < MAX_FAILURE_EVENTS + 10; i++) {
      events.add({
        timeNs: i,
        destination: 0,
        pathId: 1,
        decision: 'suspended',
        by: 'losses',
        sampleFlows: 0,
        failingFlows: 0,
        overdueFlows: 0,
        answeredFlows: 0,
        exposures: 0,
        probeAnswers: 0,
        silenceNs: 0,
        usualFailingShare: 0,
        windowNs: 0,
      });
    }
    expect(events.since(0)).toHaveLength(MAX_FAILURE_EVENTS);
    expect(events.since(0)[0].number).toBe(10);
    expect(events.since(264).map((event) => event.timeNs)).toEqual([264, 265]);
    expect(events.count).toBe(266);
  });
});

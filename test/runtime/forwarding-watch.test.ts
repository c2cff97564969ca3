/** Who sends packets with `forwarding: auto`, in virtual time and with made-up onlookers. */
import { describe, expect, it } from 'vitest';
import type { ForwardingState } from '../../lib/runtime/forwarding-watch.ts';
import { ForwardingWatch, LEASE_NS, LOOK_NS } from '../../lib/runtime/forwarding-watch.ts';

const FIREWALL = 'chain forward of table inet filter';

/** A machine whose only onlooker can be set. */
class FakeMachine {
  onlooker: string | undefined;
  nowNs = 7e9;
  /** Until when the programs may send packets. */
  untilNs = 0;
  looks = 0;
  isClosed = false;
  readonly told: ForwardingState[] = [];
  news = (): void => undefined;

  readonly watch = new ForwardingWatch({
    onlookers: {
      find: () => {
        this.looks++;
        return this.onlooker;
      },
      watch: (onNews) => {
        this.news = onNews;
      },
      close: () => {
        this.isClosed = true;
      },
    },
    redirectUntil: (untilNs) => {
      this.untilNs = untilNs;
    },
    onChange: (state) => {
      // Before it is told it is in force.
      expect(this.mayRedirect).toBe(state.by === 'redirect');
      this.told.push(state);
    },
    now: () => this.nowNs,
  });

  get mayRedirect(): boolean {
    return this.nowNs < this.untilNs;
  }

  /** Lets time pass, as the packet loop does. */
  pass(ns: number): void {
    const end = this.nowNs + ns;
    while (this.watch.pollTimeout() <= end) {
      this.nowNs = this.watch.pollTimeout();
      this.watch.handleTimeout(this.nowNs);
    }
    this.nowNs = end;
  }
}

describe('the watch over forwarding', () => {
  it('leaves packets to the kernel until it has looked, then lets the programs send while there is nobody', () => {
    const machine = new FakeMachine();
    expect([machine.mayRedirect, machine.watch.state.by]).toEqual([false, 'kernel']);
    machine.watch.begin();
    for (let second = 0; second < 10; second++) {
      expect(machine.mayRedirect).toBe(true);
      machine.pass(1e9);
    }
    expect(machine.told).toEqual([{ by: 'redirect', reason: null }]);
  });

  it('gives the programs no more time than it says, however long it stands still', () => {
    const machine = new FakeMachine();
    machine.watch.begin();
    machine.pass(5e9);
    const lookedAtNs = machine.watch.pollTimeout() - LOOK_NS;
    expect(machine.untilNs).toBe(lookedAtNs + LEASE_NS);
    machine.nowNs += LEASE_NS;
    expect(machine.mayRedirect).toBe(false);
  });

  it('leaves packets to the kernel at once when there is news of somebody, and says who', () => {
    const machine = new FakeMachine();
    machine.watch.begin();
    machine.pass(0.3 * LOOK_NS);
    machine.onlooker = FIREWALL;
    machine.news();
    expect(machine.untilNs).toBe(0);
    expect(machine.told[1]).toEqual({ by: 'kernel', reason: FIREWALL });
    expect(machine.watch.state).toEqual({ by: 'kernel', reason: FIREWALL });
  });

  it('finds somebody of whom there was no news within a second', () => {
    const machine = new FakeMachine();
    machine.watch.begin();
    machine.onlooker = FIREWALL;
    machine.pass(LOOK_NS);
    expect(machine.untilNs).toBe(0);
  });

  it('lets the programs send again at the second look in a row that finds nobody', () => {
    const machine = new FakeMachine();
    machine.onlooker = FIREWALL;
    machine.watch.begin();
    expect(machine.told).toEqual([{ by: 'kernel', reason: FIREWALL }]);
    machine.onlooker = undefined;
    machine.pass(LOOK_NS);
    machine.onlooker = 'a rule';
    machine.pass(LOOK_NS);
    // Another reason is no change of who forwards.
    expect(machine.watch.state).toEqual({ by: 'kernel', reason: 'a rule' });
    machine.onlooker = undefined;
    machine.pass(LOOK_NS);
    expect(machine.mayRedirect).toBe(false);
    machine.pass(LOOK_NS);
    expect(machine.mayRedirect).toBe(true);
    expect(machine.told).toHaveLength(2);
  });

  it('looks no more often for news while the kernel forwards anyway', () => {
    const machine = new FakeMachine();
    machine.onlooker = FIREWALL;
    machine.watch.begin();
    for (let i = 0; i < 100; i++) machine.news();
    expect(machine.looks).toBe(1);
  });

  it('leaves packets to the kernel when it stops, and looks no more', () => {
    const machine = new FakeMachine();
    machine.watch.begin();
    machine.watch.stop();
    machine.pass(10 * LOOK_NS);
    expect([machine.untilNs, machine.looks, machine.isClosed]).toEqual([0, 1, true]);
    expect(machine.watch.state.by).toBe('kernel');
  });
});

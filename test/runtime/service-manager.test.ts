/** What a service manager hears of a daemon. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ServiceEnvironment } from '../../lib/runtime/service-manager.ts';
import { ServiceManager } from '../../lib/runtime/service-manager.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';

const ADDRESS = `@preflex-manager-${process.pid}`;

describe('the link to a service manager', () => {
  let receiver: NotifyReceiver;
  beforeEach(() => {
    receiver = new NotifyReceiver(ADDRESS);
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });
  afterEach(() => {
    vi.useRealTimers();
    receiver.close();
  });
  const heard = (): string[] => {
    receiver.receive();
    return receiver.messages.splice(0);
  };
  const connect = (more: ServiceEnvironment = {}): ServiceManager =>
    ServiceManager.fromEnvironment({ NOTIFY_SOCKET: ADDRESS, ...more });

  it('says that the daemon is ready, reloads, is ready again and stops', () => {
    const manager = connect();
    manager.ready('serving');
    manager.reloading();
    manager.ready('serving\nmore');
    manager.status('4 flows');
    manager.stopping();
    const [ready, reloading, again, ...rest] = heard();
    expect([ready, again]).toEqual(['READY=1\nSTATUS=serving', 'READY=1\nSTATUS=serving more']);
    expect(rest).toEqual(['STATUS=4 flows', 'STOPPING=1']);
    // CLOCK_MONOTONIC, which hrtime reads too.
    const usec = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading)?.[1]);
    expect(Math.abs(usec - Number(process.hrtime.bigint() / 1000n))).toBeLessThan(60e6);
  });

  it('gives signs of life at half of the time, only while the loop turns', () => {
    const manager = connect({ WATCHDOG_USEC: '4000000', WATCHDOG_PID: String(process.pid) });
    expect(manager.watchdogMs).toBe(4000);
    let isTurning = true;
    let withheld = 0;
    manager.startWatchdog(
      () => isTurning,
      () => withheld++,
    );
    vi.advanceTimersByTime(1999);
    expect(heard()).toEqual([]);
    vi.advanceTimersByTime(4001);
    expect(heard()).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    isTurning = false;
    vi.advanceTimersByTime(4000);
    expect([heard(), withheld]).toEqual([[], 2]);
    isTurning = true;
    vi.advanceTimersByTime(2000);
    expect(heard()).toEqual(['WATCHDOG=1']);
    manager.stopping();
    vi.advanceTimersByTime(10_000);
    expect(heard()).toEqual(['STOPPING=1']);
  });

  it.each([
    ['another process is watched', { WATCHDOG_USEC: '4000000', WATCHDOG_PID: '1' }],
    ['nobody watches', {}],
  ])('gives no sign of life when %s', (_, environment) => {
    const manager = connect(environment);
    manager.startWatchdog(
      () => true,
      () => undefined,
    );
    vi.advanceTimersByTime(60_000);
    expect([manager.watchdogMs, heard()]).toEqual([undefined, []]);
    manager.stopping();
  });

  it('takes what it was handed out of the environment', () => {
    const environment = { NOTIFY_SOCKET: ADDRESS, WATCHDOG_USEC: '1', WATCHDOG_PID: '1', HOME: '/root' };
    ServiceManager.fromEnvironment(environment).stopping();
    expect(environment).toEqual({ HOME: '/root' });
  });

  it('is silent without a manager', () => {
    const manager = ServiceManager.fromEnvironment({ WATCHDOG_USEC: '1000000' });
    manager.ready('x');
    manager.stopping();
    expect([manager.watchdogMs, heard()]).toEqual([undefined, []]);
  });

  it('refuses a socket of a kind that it cannot speak to', () => {
    expect(() => ServiceManager.fromEnvironment({ NOTIFY_SOCKET: 'vsock:2:1' })).toThrow(/NOTIFY_SOCKET/);
  });
});

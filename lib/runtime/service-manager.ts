/**
 * What a daemon tells the service manager that started it: ready, reloading, stopping, a line of status, and a sign of
 * life. Without a manager (no NOTIFY_SOCKET) every call does nothing.
 *
 * The sign of life is the packet loop's, not the timer's: it is sent only when the loop proves that it turns.
 *
 * @see sd_notify(3), sd_watchdog_enabled(3)
 */
import { clockOriginNs, nowNs } from '../sys/clock.ts';
import { NotifySocket } from '../sys/notify-socket.ts';

/** What a manager hands over. */
export interface ServiceEnvironment {
  NOTIFY_SOCKET?: string | undefined;
  WATCHDOG_USEC?: string | undefined;
  WATCHDOG_PID?: string | undefined;
}

/** Longest status text, characters; it is one line in `systemctl status`. */
const MAX_STATUS = 500;

/** The link to the manager. */
export class ServiceManager {
  /** Within what time the manager wants a sign of life, ms; undefined when it does not watch. */
  readonly watchdogMs: number | undefined;
  readonly #socket: NotifySocket | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  /**
   * Takes what the manager handed over out of the environment, so that programs started later do not speak to it.
   *
   * @throws PreflexError ERR_INVALID_OPTION when NOTIFY_SOCKET is no address of a Unix socket
   */
  static fromEnvironment(environment: ServiceEnvironment): ServiceManager {
    const { NOTIFY_SOCKET: address, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = environment;
    delete environment.NOTIFY_SOCKET;
    delete environment.WATCHDOG_USEC;
    delete environment.WATCHDOG_PID;
    const isMine = pid === undefined || pid === String(process.pid);
    const watchdogMs = usec !== undefined && isMine && Number(usec) > 0 ? Number(usec) / 1000 : undefined;
    return new ServiceManager(address === undefined ? undefined : NotifySocket.open(address), watchdogMs);
  }

  private constructor(socket: NotifySocket | undefined, watchdogMs: number | undefined) {
    this.#socket = socket;
    this.watchdogMs = socket === undefined ? undefined : watchdogMs;
  }

  /** The daemon works, or works again after {@link reloading}. */
  ready(status: string): void {
    this.#socket?.send(`READY=1\nSTATUS=${oneLine(status)}`, true);
  }

  /** The configuration is read again; {@link ready} says that it is over. */
  reloading(): void {
    const usec = Math.round((nowNs() + clockOriginNs) / 1000);
    this.#socket?.send(`RELOADING=1\nMONOTONIC_USEC=${usec}`, true);
  }

  /** What the daemon does, for people. Lost when the manager is busy. */
  status(text: string): void {
    this.#socket?.send(`STATUS=${oneLine(text)}`, false);
  }

  /**
   * Sends signs of life at half of the time that the manager allows.
   *
   * @param isTurning - whether packets are still being moved; asked before each sign
   * @param onStuck - told each time that the sign is withheld
   */
  startWatchdog(isTurning: () => boolean, onStuck: () => void): void {
    if (this.watchdogMs === undefined) return;
    this.#watchdog = setInterval(() => {
      if (isTurning()) this.#socket?.send('WATCHDOG=1', false);
      else onStuck();
    }, this.watchdogMs / 2);
  }

  /** The daemon ends; nothing is said after it. */
  stopping(): void {
    clearInterval(this.#watchdog);
    this.#socket?.send('STOPPING=1', true);
    this.#socket?.close();
  }
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ').slice(0, MAX_STATUS);
}

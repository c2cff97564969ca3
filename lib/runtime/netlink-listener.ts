/**
 * Hears by netlink that something changed, without reading what: of each wake-up the types of the messages that came, and
 * whether others were lost. For those who look for themselves then.
 */
import { forEachMessage } from '../netns/index.ts';
import { EAGAIN, ENOBUFS } from '../sys/errno.ts';
import { NetlinkSocket } from '../sys/netlink.ts';
import { SocketWatch } from '../sys/socket-watch.ts';

const RECEIVE_BYTES = 1 << 20;
const BUFFER_BYTES = 65_536;

/** Notifications of one family of netlink, from the network namespace that it is made in. */
export class NetlinkListener {
  /** Types of messages that may mean somebody new. */
  readonly news: readonly number[];
  readonly #socket: NetlinkSocket;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #watch: SocketWatch | undefined;

  /**
   * @param family - NETLINK_ number
   * @param groups - bits of its groups of notifications
   * @param news - see {@link NetlinkListener.news}
   * @throws SystemError, EPROTONOSUPPORT for a family that this kernel does not have
   */
  constructor(family: number, groups: number, news: readonly number[]) {
    this.news = news;
    this.#socket = NetlinkSocket.open(groups, RECEIVE_BYTES, family);
  }

  /**
   * Begins to listen; what has come since it was made counts.
   *
   * @param onTypes - told which types of messages came, and whether others may have been lost
   */
  start(onTypes: (types: ReadonlySet<number>, isLost: boolean) => void): void {
    this.#watch = new SocketWatch(this.#socket.fd, (isBroken) => {
      const types = new Set<number>();
      const isLost = this.#drain(types);
      // After ENOBUFS, which has been read.
      if (isBroken) this.#watch?.restart(false);
      onTypes(types, isLost);
    });
    // The packet loop keeps the process alive.
    this.#watch.unref();
  }

  /** Closes; a second call does nothing. */
  close(): void {
    this.#watch?.close();
    this.#socket.close();
  }

  /** Reads all that waits; true when something was lost or made no sense. */
  #drain(types: Set<number>): boolean {
    let isLost = false;
    for (;;) {
      const length = this.#socket.receive(this.#bytes);
      if (length === -EAGAIN) return isLost;
      if (length < 0 && length !== -ENOBUFS) return true;
      const isWhole =
        length >= 0 &&
        length <= BUFFER_BYTES &&
        forEachMessage(this.#view, length, ({ type }) => types.add(type));
      if (!isWhole) isLost = true;
    }
  }
}

/** Packets larger than usual, and paths that take only smaller ones, through agent and gateway (topology two-path). */
import { expect, it } from 'vitest';
import { setLink } from '../../lib/netns/index.ts';
import { FRAGMENT_NONE } from '../../lib/wire/packet-view.ts';
import { addressOf, Capture, groupBy, wrongPackets } from '../support/capture.ts';
import { askUdp, connectTcp, exchange, openUdp, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { endsOf, prepareTwoPath } from '../support/two-path-lab.ts';

const ECHO_PORT = 7000;

describeNetns('packet sizes', () => {
  const lab = useLab();

  for (const version of [4, 6] as const) {
    const { host, far } = endsOf(version);

    it(`jumbo packets of 9,000 bytes pass: IPv${version}`, async () => {
      const mtu = 9000;
      const topology = prepareTwoPath(lab, { links: { mtu } });
      for (const [device, netns] of [
        ['h0', topology.host],
        ['p0', topology.gateway],
        ['r0', topology.router],
        ['f0', topology.far],
      ]) {
        setLink(device, { mtu }, { netns });
      }
      await Promise.all([topology.startGateway(), topology.startAgent()]);
      serveTcp(lab.scope, topology.far, ECHO_PORT, (socket) => socket.pipe(socket));
      const captures = await Promise.all(
        ['a', 'b'].map((device) => Capture.start(lab, topology.gateway, device, 16_384)),
      );
      const data = patternBytes(2_000_000, 'jumbo');
      const echo = await exchange(await connectTcp(topology.host, far, ECHO_PORT), data);
      expect(echo.equals(data)).toBe(true);
      const server = await openUdp(lab.scope, topology.far, far, ECHO_PORT);
      server.on('message', (message, from) => {
        server.send(message, from.port, from.address);
      });
      const datagram = patternBytes(mtu - (version === 4 ? 28 : 48), 'jumbo datagram');
      const socket = await openUdp(lab.scope, topology.host, host);
      expect((await askUdp(socket, datagram, far, ECHO_PORT)).equals(datagram)).toBe(true);
      const packets = (await Promise.all(captures.map((capture) => capture.stop()))).flat();
      for (const capture of captures) expect(wrongPackets(capture.path)).toEqual([]);
      const full = packets.filter((packet) => packet.length === mtu && packet.fragment === FRAGMENT_NONE);
      expect(
        [...groupBy(full, (packet) => `${packet.protocol} ${addressOf(packet.src)}`).keys()].sort(),
      ).toEqual([`17 ${far}`, `17 ${host}`, `6 ${far}`, `6 ${host}`].sort());
    });

    it(`path MTU discovery works, with smaller links at the gateway and behind it: IPv${version}`, async () => {
      const topology = prepareTwoPath(lab, { links: { mtu: 1400 } });
      // Only what goes out to far is limited: its SYN-ACK offers segments for 1500.
      setLink('r0', { mtu: 1300 }, { netns: topology.router });
      await Promise.all([topology.startGateway(), topology.startAgent()]);
      serveTcp(lab.scope, topology.far, ECHO_PORT, (socket) => {
        let bytes = 0;
        socket.on('data', (chunk) => (bytes += chunk.length)).on('end', () => socket.end(String(bytes)));
      });
      const capture = await Capture.start(lab, topology.host, 'h0', 262_144);
      const data = patternBytes(1_000_000, 'path MTU');
      const answer = await exchange(await connectTcp(topology.host, far, ECHO_PORT), data);
      expect(answer.toString()).toBe(String(data.length));
      const packets = await capture.stop();
      // "Fragmentation needed", "packet too big": from the gateway, which knows 1400, and from the router, which knows 1300.
      const tooBig = packets.filter(
        (packet) =>
          (packet.protocol === 1 && packet.firstByte === 3) ||
          (packet.protocol === 58 && packet.firstByte === 2),
      );
      expect(new Set(tooBig.map((packet) => addressOf(packet.src))).size).toBeGreaterThanOrEqual(2);
    });
  }
});

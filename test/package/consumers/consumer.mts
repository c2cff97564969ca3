/** What an ES module does with the package; compiled and run by package.test.ts. */
import { CODEPOINT_NAMES, LexHost, type LexHostOptions, PreflexError } from 'preflex';
import { device, lexFromSubPath } from './sub-paths.mjs';
import { type Balancer, loss, PrefGateway } from 'preflex/pref';
import { Link, type LinkOptions } from 'preflex/sim';
import { connect, type TcpStatistics } from 'preflex/tcp';
import { createSocket } from 'preflex/udp';
import { ipv4, parseAddress, PROTOCOL_UDP, udp } from 'preflex/wire';

const options: LexHostOptions = { scheme: 'pool2', flowletGapNs: 2e9 };
const link: LinkOptions = { rateBitsPerSec: 1e6 };
const balancer: Balancer = loss(0.2);
const pathOf = (statistics: TcpStatistics): number => statistics.pathId;
let refusal = '';
try {
  // @ts-expect-error there is no such scheme
  new LexHost({ scheme: 'none' });
} catch (error) {
  if (error instanceof PreflexError) refusal = error.code;
}

const view = new DataView(new ArrayBuffer(28));
const [src, dst] = [parseAddress('192.0.2.1'), parseAddress('198.51.100.7')];
ipv4.writeIpv4Header(view, 0, { totalLength: 28, protocol: PROTOCOL_UDP, src, dst });
udp.writeUdpHeader(view, 20, { srcPort: 40_000, dstPort: 9000, length: 8 });
const codepoint = new LexHost(options).handleOutbound(view, 0, 28, 0);
const gateway = new PrefGateway({ routes: [{ pathId: 1, name: 'a' }], balancer });
gateway.addDestination(['198.51.100.0/24'], [1]);
const pathId = gateway.handleOutbound(view, 0, 28, 0, 0);
const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1', () => {
  const { port } = socket.address();
  socket.close();
  console.log(
    JSON.stringify({
      node: process.version,
      codepoint: CODEPOINT_NAMES[codepoint],
      pathId,
      isBound: port > 0,
      isSameClass: LexHost === lexFromSubPath,
      refusal,
      others: [new Link(link).offer, device.MemoryDevice, device.TunDevice, connect, pathOf].map(
        (value) => typeof value,
      ),
    }),
  );
});

/** What a CommonJS program does with the package; compiled and run by package.test.ts. */
import preflex = require('preflex');
import wire = require('preflex/wire');
import lex = require('preflex/lex');
import pref = require('preflex/pref');
import sim = require('preflex/sim');
import device = require('preflex/device');
import udp = require('preflex/udp');
import tcp = require('preflex/tcp');

const view = new DataView(new ArrayBuffer(28));
const [src, dst] = [wire.parseAddress('192.0.2.1'), wire.parseAddress('198.51.100.7')];
wire.ipv4.writeIpv4Header(view, 0, { totalLength: 28, protocol: wire.PROTOCOL_UDP, src, dst });
wire.udp.writeUdpHeader(view, 20, { srcPort: 40_000, dstPort: 9000, length: 8 });
const codepoint = new lex.LexHost().handleOutbound(view, 0, 28, 0);
const gateway = new pref.PrefGateway({ routes: [{ pathId: 1, name: 'a' }], balancer: pref.loss() });
gateway.addDestination(['198.51.100.0/24'], [1]);
const pathId = gateway.handleOutbound(view, 0, 28, 0, 0);
const socket = udp.createSocket('udp4');
socket.bind(0, '127.0.0.1', () => {
  const { port } = socket.address();
  socket.close();
  console.log(
    JSON.stringify({
      node: process.version,
      codepoint: preflex.CODEPOINT_NAMES[codepoint],
      pathId,
      isBound: port > 0,
      isSameClass: preflex.LexHost === lex.LexHost,
      others: [sim.Link, device.MemoryDevice, device.TunDevice, tcp.connect].map((value) => typeof value),
    }),
  );
});

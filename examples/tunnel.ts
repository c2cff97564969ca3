/**
 * A tunnel with LEX inside: IP packets from a TUN are marked, sent over UDP to the other end, and come out of its TUN.
 * Run it at both ends, as root, and give the TUNs addresses:
 *
 *     node tunnel.js TUN LOCAL_PORT PEER_ADDRESS PEER_PORT
 */
import { createSocket } from 'node:dgram';
import { LexHost, reportLexCounters } from 'preflex';
import { PacketBatch, TunDevice } from 'preflex/device';

const [name = 'tunnel0', localPort = '5000', peer = '127.0.0.1', peerPort = '5001'] = process.argv.slice(2);
// Without offload, so that each packet fits into a datagram; room for the outer IP and UDP headers.
const tun = TunDevice.open({ name, mtu: 1400, offload: false });
const socket = createSocket(peer.includes(':') ? 'udp6' : 'udp4');
const host = new LexHost();
const nowNs = (): number => performance.now() * 1e6;

const outgoing = new PacketBatch();
tun.onReadable(() => {
  tun.read(outgoing);
  for (let i = 0; i < outgoing.count; i++) {
    host.handleOutbound(outgoing.view, outgoing.at[i]!, outgoing.length[i]!, nowNs());
    // A copy: the socket may send it after the batch was used again.
    socket.send(outgoing.packet(i).slice(), Number(peerPort), peer);
  }
});

const incoming = new PacketBatch(1);
socket.on('message', (packet) => {
  incoming.count = 0;
  incoming.push(packet);
  host.handleInbound(incoming.view, incoming.at[0]!, packet.length, nowNs());
  tun.write(incoming, 0);
});

socket.bind(Number(localPort), () => console.log('ready'));
const sweep = setInterval(() => host.handleTimeout(nowNs()), 100);
process.on('SIGTERM', () => {
  console.log(JSON.stringify(reportLexCounters(host.counters)));
  clearInterval(sweep);
  tun.close();
  socket.close();
});

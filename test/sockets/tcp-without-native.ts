/** Uses preflex/tcp as on a system that has no native calls; run as a process by tcp.test.ts. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

Object.defineProperty(process, 'platform', { value: 'sunos' });
const { connect, pinOf, pinServer } = await import('../../lib/sockets/tcp.ts');

const server = createServer((socket) => socket.pipe(socket));
pinServer(server);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const socket = await connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
socket.write('echo');
const [data] = (await once(socket, 'data')) as [Buffer];
const pin = pinOf(socket)!;
pin.usePath(1);
pin.release();
const { isActive, pathId } = pin;
process.stdout.write(
  JSON.stringify({ answer: data.toString(), isActive, pathId, newFlowlet: pin.newFlowlet() }),
);
socket.destroy();
server.close();

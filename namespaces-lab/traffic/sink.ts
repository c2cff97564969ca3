/**
 * A TCP sink, run as a process in a namespace: `sink.ts PORT [ADDRESS]`. It takes connections and throws their data
 * away. A connection whose first byte is `Z` is not read for two seconds after that byte, so that its window closes.
 * It closes a connection when the peer does. Prints `listening` when it listens.
 */
import { createServer } from 'node:net';

const STALL_MS = 2000;
const STALL_BYTE = 0x5a;

const [port = '9000', address = '::'] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: false }, (socket) => {
  socket.once('data', (chunk) => {
    if (chunk[0] === STALL_BYTE) {
      socket.pause();
      setTimeout(() => socket.resume(), STALL_MS);
    }
    socket.on('data', () => undefined);
  });
  // The sender may be killed in the middle; the sink only has to survive it.
  socket.on('error', () => undefined);
});
server.listen({ port: Number(port), host: address, backlog: 4096 }, () => {
  process.stdout.write('listening\n');
});
process.on('SIGTERM', () => process.exit(0));

/**
 * An HTTP server whose connections stay on the path that the gateway gave their SYN:
 *
 *     node http-server.js [PORT]
 *
 * Answers each request with the path of its connection, and /BYTES with that many bytes.
 */
import { createServer } from 'node:http';
import { pinOf, pinServer } from 'preflex/tcp';

const server = createServer((request, response) => {
  response.setHeader('x-path-id', pinOf(request.socket)?.pathId ?? 0);
  const bytes = Number(request.url?.slice(1));
  response.end(bytes > 0 ? Buffer.alloc(bytes) : 'hello\n');
});
const pinned = pinServer(server);
server.listen(Number(process.argv[2] ?? 8080), () => console.log('listening', server.address()));

process.on('SIGTERM', () => {
  const { sentBytes, retransmittedBytes } = pinned.statistics();
  console.log(`${sentBytes} bytes sent, ${retransmittedBytes} of them again`);
  server.close();
  server.closeAllConnections();
});

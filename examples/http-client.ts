/**
 * An HTTP client whose connection asks for a path with its SYN and stays on it (over IPv6; see the table of
 * preflex/tcp for what IPv4 can):
 *
 *     node http-client.js URL
 */
import { Agent, get } from 'node:http';
import { createConnection, pinOf } from 'preflex/tcp';

const agent = Object.assign(new Agent({ keepAlive: true }), { createConnection });
const request = get(process.argv[2] ?? 'http://localhost:8080', { agent }, (response) => {
  // Now: at its end the response gives the socket back to the agent.
  const pin = pinOf(response.socket);
  let bytes = 0;
  response.on('data', (data: Buffer) => (bytes += data.length));
  response.on('end', () => {
    console.log(JSON.stringify({ status: response.statusCode, bytes, pathId: pin?.pathId ?? 0 }));
    agent.destroy();
  });
});
request.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});

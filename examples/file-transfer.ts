/**
 * Sends a file over UDP with retransmissions of its own, and tells the network which datagrams those are:
 *
 *     node file-transfer.js receive FILE PORT
 *     node file-transfer.js send FILE ADDRESS PORT
 *
 * ```
 *   HELLO  0 | 0 | bytes of the file                  the first datagram, and a probe when nothing gets through (FNE)
 *   DATA   1 | number of the sending | chunk | ...    up to 1,200 bytes (LECT, or LEx when sent again)
 *   ACK    the first 9 bytes of what it acknowledges
 * ```
 * It has a fixed window and no congestion control: not for networks that others use.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createSocket } from 'preflex/udp';

const [HELLO, DATA] = [0, 1];
const HEADER_BYTES = 9;
const CHUNK_BYTES = 1200;
const WINDOW = 64;
/** A chunk is lost when one that was sent this many sendings later has arrived. */
const REORDERING = 3;
const [MIN_TIMEOUT_MS, MAX_TIMEOUT_MS] = [200, 500];

/** The program itself says when a flowlet begins, so no pause of its own shall. */
function openSocket(address: string) {
  return createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', lex: { flowletGapNs: 60e9 } });
}

function header(kind: number, first: number, second: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt32BE(first, 1);
  bytes.writeUInt32BE(second, 5);
  return bytes;
}

function receive(file: string, port: number): void {
  const socket = openSocket('::');
  let content: Buffer | undefined;
  let missing = new Set<number>();
  socket.on('message', (message, remote) => {
    if (message[0] === HELLO && content === undefined) {
      content = Buffer.alloc(message.readUInt32BE(5));
      missing = new Set(Array.from({ length: Math.ceil(content.length / CHUNK_BYTES) }, (_, i) => i));
    }
    const chunk = message.readUInt32BE(5);
    if (message[0] === DATA && content !== undefined && missing.delete(chunk)) {
      message.copy(content, chunk * CHUNK_BYTES, HEADER_BYTES);
      if (missing.size === 0) {
        writeFileSync(file, content);
        console.log(`received ${content.length} bytes`);
      }
    }
    socket.send(message.subarray(0, HEADER_BYTES), remote.port, remote.address);
  });
  socket.bind(port, () => console.log('ready'));
  process.on('SIGTERM', () => socket.close());
}

function send(file: string, address: string, port: number): void {
  const content = readFileSync(file);
  const chunks = Math.ceil(content.length / CHUNK_BYTES);
  const hello = header(HELLO, 0, content.length);
  /** Number of the last sending of each chunk, -1 once it has arrived. */
  const sendings = new Int32Array(chunks);
  let [oldest, next, sent, largestArrived] = [0, 0, 0, 0];
  let [timeouts, resentPackets, resentBytes] = [0, 0, 0];
  let progressMs = performance.now();
  let isWelcome = false;

  const socket = openSocket(address);
  const sendChunk = (chunk: number, isAgain: boolean): void => {
    sendings[chunk] = ++sent;
    const data = content.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    const message = Buffer.concat([header(DATA, sent, chunk), data]);
    socket.send(message, { retransmission: isAgain });
    if (!isAgain) return;
    resentPackets++;
    resentBytes += message.length;
  };
  const fillWindow = (): void => {
    while (next < chunks && next < oldest + WINDOW) sendChunk(next++, false);
  };

  socket.on('message', (ack) => {
    progressMs = performance.now();
    timeouts = 0;
    if (ack[0] === DATA) {
      largestArrived = Math.max(largestArrived, ack.readUInt32BE(1));
      sendings[ack.readUInt32BE(5)] = -1;
    } else if (!isWelcome) {
      isWelcome = true;
      console.log(`started on path ${socket.statistics().pathId}`);
    }
    while (oldest < next && sendings[oldest] === -1) oldest++;
    for (let chunk = oldest; chunk < next; chunk++) {
      const sending = sendings[chunk]!;
      if (sending !== -1 && sending + REORDERING <= largestArrived) sendChunk(chunk, true);
    }
    if (oldest === chunks) finish();
    else fillWindow();
  });

  const timer = setInterval(() => {
    const timeoutMs = Math.min(MAX_TIMEOUT_MS, MIN_TIMEOUT_MS * 2 ** timeouts);
    if (performance.now() - progressMs < timeoutMs) return;
    progressMs = performance.now();
    // The path may be dead: the next datagram, which repeats no data, asks for another one.
    if (++timeouts >= 2) socket.newFlowlet();
    if (timeouts >= 2 || !isWelcome) socket.send(hello);
    if (isWelcome) sendChunk(oldest, true);
  }, 20);

  function finish(): void {
    clearInterval(timer);
    const { pathId, flowlets, lexPacketBytes } = socket.statistics();
    socket.close();
    console.log(
      JSON.stringify({ bytes: content.length, resentPackets, resentBytes, lexPacketBytes, flowlets, pathId }),
    );
  }

  socket.connect(port, address, () => socket.send(hello));
}

const [mode, file = '', ...where] = process.argv.slice(2);
if (mode === 'receive') receive(file, Number(where[0]));
else send(file, where[0] ?? '', Number(where[1]));

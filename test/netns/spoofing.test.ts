/**
 * Path IDs that nobody was given (topology two-path): from a neighbour of the host, and from a host inside. What comes from
 * outside is in transparency.test.ts.
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far
 */
import { once } from 'node:events';
import type dgram from 'node:dgram';
import { expect, it } from 'vitest';
import { waitFor } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import { writeTrafficClass } from '../../lib/sys/socket-options.ts';
import { statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { askUdp, openUdp, udpFd } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath, startTwoPathTest } from '../support/two-path-lab.ts';

const PORT = 7000;
/** The gateway's address on the network of the host: from there it is a neighbour like any other. */
const NEIGHBOUR = '10.71.1.1';
const PATH_IDS = [1, 2, 3, 4, 5, 6];
/** LECT on a path: an assignment when it comes in. */
const lectOn = (pathId: number): number => 8 * pathId + 3;

describeNetns('spoofed path IDs', () => {
  const lab = useLab();

  /** Sends one datagram with each path ID, from wherever the socket is. */
  const sendAll = async (socket: dgram.Socket, address: string, sink: dgram.Socket): Promise<void> => {
    for (const pathId of PATH_IDS) {
      writeTrafficClass(udpFd(socket), lectOn(pathId) << 2, 4);
      const arrived = once(sink, 'message', { signal: AbortSignal.timeout(5000) });
      socket.send(Buffer.of(pathId), PORT, address);
      expect((await arrived)[0]).toEqual(Buffer.of(pathId));
    }
  };

  it('assignments from a neighbour of the host, for flows that it does not have, are rejected and counted', async () => {
    const topology = prepareTwoPath(lab);
    const agent = await topology.startAgent();
    const sink = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress, PORT);
    const neighbour = await openUdp(lab.scope, topology.gateway, NEIGHBOUR);
    await sendAll(neighbour, TWO_PATH.hostAddress, sink);
    const status = statusOf<HostAgentStatus>(await agent.counters());
    expect(status.in['rejectedAssignment']).toBe(PATH_IDS.length);
    expect([status.assignments, status.flows.size]).toEqual([{}, 0]);
    await agent.stop();
  });

  it('path IDs that a host inside made up: those without a route are counted, and the packets go by other routes', async () => {
    // No agent: the host writes its marks itself.
    const topology = prepareTwoPath(lab);
    const gateway = await topology.startGateway();
    const sink = await openUdp(lab.scope, topology.far, TWO_PATH.farAddress, PORT);
    const liar = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress);
    await sendAll(liar, TWO_PATH.farAddress, sink);
    const { reasons } = statusOf<GatewayDaemonStatus>(await gateway.counters());
    // Routes have the path IDs 1 and 2.
    expect([reasons['outPathId'], reasons['outUnknownPathId']]).toEqual([2, PATH_IDS.length - 2]);
    await gateway.stop();
  });

  it('a neighbour cannot move a flow of the host with an assignment of its own', async () => {
    const topology = await startTwoPathTest(lab);
    const far = await openUdp(lab.scope, topology.far, TWO_PATH.farAddress, PORT);
    far.on('message', (message, { address, port }) => {
      far.send(message, port, address);
    });
    const socket = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress);
    const { port } = socket.address();
    await askUdp(socket, Buffer.from('first'), TWO_PATH.farAddress, PORT);
    const assignmentsOf = async (): Promise<HostAgentStatus> =>
      statusOf<HostAgentStatus>(await topology.agent.counters());
    const before = await waitFor('an assignment', async () => {
      const status = await assignmentsOf();
      return Object.keys(status.assignments).length > 0 ? status : undefined;
    });
    // To the very port of the flow, but not from its peer.
    const neighbour = await openUdp(lab.scope, topology.gateway, NEIGHBOUR, PORT);
    for (const pathId of PATH_IDS) {
      writeTrafficClass(udpFd(neighbour), lectOn(pathId) << 2, 4);
      const arrived = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
      neighbour.send(Buffer.of(pathId), port, TWO_PATH.hostAddress);
      await arrived;
    }
    const after = await assignmentsOf();
    expect(after.assignments).toEqual(before.assignments);
    expect([before.in['rejectedAssignment'], after.in['rejectedAssignment']]).toEqual([
      undefined,
      PATH_IDS.length,
    ]);
  });
});

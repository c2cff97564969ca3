/**
 * Types of ip-packet 2.2.1, which ships none: the independent IPv4 codec that the header tests compare with. It reads
 * and writes headers without options only.
 */
declare module 'ip-packet' {
  interface State {
    buffer: Buffer;
    start: number;
    end: number;
  }
  interface Packet {
    version: number;
    ihl: number;
    dscp: number;
    ecn: number;
    length: number;
    identification: number;
    flags: number;
    fragmentOffset: number;
    ttl: number;
    protocol: number;
    sourceIp: string;
    destinationIp: string;
    checksum: number;
    data: Buffer;
  }
  const codec: {
    decode(state: State): Packet;
    encode(state: State, packet: Partial<Packet>): void;
    /** Writes the header checksum in place and returns it. */
    checksum(packet: Buffer): number;
  };
  export default codec;
}

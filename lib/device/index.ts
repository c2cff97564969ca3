/**
 * `preflex/device`: where packets come from and go to. A TUN needs Linux; the in-memory and Duplex devices, captures
 * and faults work anywhere. Re-exports only.
 */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export { DeviceStats, REFUSED_CLOSED, REFUSED_MALFORMED, REFUSED_QUEUE_FULL } from './device-stats.ts';
export type { Device } from './device.ts';
export { DuplexDevice } from './duplex-device.ts';
export type { DuplexDeviceOptions, PacketStream } from './duplex-device.ts';
export { MemoryDevice, memoryPair } from './memory-device.ts';
export type { CollectedPacket, MemoryDeviceOptions } from './memory-device.ts';
export { MAX_PACKET_BYTES, PACKET_HEADROOM, PacketBatch, slotAt } from './packet-batch.ts';
export {
  LINKTYPE_RAW,
  PCAP_FILE_HEADER_BYTES,
  PCAP_RECORD_HEADER_BYTES,
  readPcap,
  writePcapFileHeader,
  writePcapRecordHeader,
} from './pcap.ts';
export type { PcapFile, PcapRecord } from './pcap.ts';
export { TunDevice } from './tun-device.ts';
export type { TunOptions } from './tun-device.ts';
export {
  VIRTIO_FLAG_NEEDS_CSUM,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_HEADER_BYTES,
  virtioChecksumOffset,
  virtioChecksumStart,
  virtioFlags,
  virtioGsoSize,
  virtioGsoType,
} from './virtio-header.ts';
export { withFaults } from './with-faults.ts';
export type { FaultCounters, FaultOptions, FaultyDevice, FaultyDeviceOptions } from './with-faults.ts';
export { withPcap } from './with-pcap.ts';
export type { PcapDevice, PcapOptions } from './with-pcap.ts';

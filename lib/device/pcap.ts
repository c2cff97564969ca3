/**
 * The pcap file format, as pure functions over bytes: what with-pcap.ts writes and tests read back.
 *
 * ```
 *  file:    magic 4 | version 2.4 | zone 4 | accuracy 4 | snapshot length 4 | link type 4   (24 bytes)
 *  record:  seconds 4 | nano- or microseconds 4 | captured length 4 | original length 4     (16 bytes) | packet
 * ```
 * Written in little-endian byte order with nanoseconds; read in both orders and both resolutions.
 *
 * @see https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
 */
import { PreflexError } from '../errors.ts';

/** Bytes of the file header. */
export const PCAP_FILE_HEADER_BYTES = 24;
/** Bytes of the header before each packet. */
export const PCAP_RECORD_HEADER_BYTES = 16;
/** Link type: packets start with the IP header. */
export const LINKTYPE_RAW = 101;

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const SNAPSHOT_LENGTH = 262_144;

/** One packet of a file. */
export interface PcapRecord {
  /** Since 1970. */
  readonly seconds: number;
  /** 0..999,999,999. */
  readonly nanoseconds: number;
  /** Bytes that the packet had; more than `bytes.length` when it was cut short. */
  readonly originalLength: number;
  readonly bytes: Uint8Array;
}

/** A whole file. */
export interface PcapFile {
  readonly linkType: number;
  readonly records: readonly PcapRecord[];
  /** True when the file ends inside a record, as after a crash; the complete records are there. */
  readonly isTruncated: boolean;
}

/** Writes the file header at `at`. */
export function writePcapFileHeader(view: DataView, at: number, linkType: number = LINKTYPE_RAW): void {
  view.setUint32(at, MAGIC_NANOSECONDS, true);
  view.setUint16(at + 4, 2, true);
  view.setUint16(at + 6, 4, true);
  view.setUint32(at + 8, 0, true);
  view.setUint32(at + 12, 0, true);
  view.setUint32(at + 16, SNAPSHOT_LENGTH, true);
  view.setUint32(at + 20, linkType, true);
}

/** Writes the header of a packet of `length` bytes that is stored whole. */
export function writePcapRecordHeader(
  view: DataView,
  at: number,
  seconds: number,
  nanoseconds: number,
  length: number,
): void {
  view.setUint32(at, seconds, true);
  view.setUint32(at + 4, nanoseconds, true);
  view.setUint32(at + 8, length, true);
  view.setUint32(at + 12, length, true);
}

/**
 * Reads a file. The records' bytes are views of `file`.
 *
 * @throws PreflexError ERR_INVALID_OPTION when it is not a pcap file (pcapng is another format)
 */
export function readPcap(file: Uint8Array): PcapFile {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const order = file.length < PCAP_FILE_HEADER_BYTES ? undefined : byteOrder(view);
  if (order === undefined)
    throw new PreflexError('ERR_INVALID_OPTION', 'not a pcap file: its magic number is unknown');
  const { isLittleEndian, nanosecondsPerUnit } = order;
  const records: PcapRecord[] = [];
  let at = PCAP_FILE_HEADER_BYTES;
  while (at + PCAP_RECORD_HEADER_BYTES <= file.length) {
    const length = view.getUint32(at + 8, isLittleEndian);
    const end = at + PCAP_RECORD_HEADER_BYTES + length;
    if (end > file.length) break;
    records.push({
      seconds: view.getUint32(at, isLittleEndian),
      nanoseconds: view.getUint32(at + 4, isLittleEndian) * nanosecondsPerUnit,
      originalLength: view.getUint32(at + 12, isLittleEndian),
      bytes: file.subarray(at + PCAP_RECORD_HEADER_BYTES, end),
    });
    at = end;
  }
  // The upper bits of the field may tell the length of a frame check sequence.
  return { linkType: view.getUint32(20, isLittleEndian) & 0xffff, records, isTruncated: at !== file.length };
}

function byteOrder(view: DataView): { isLittleEndian: boolean; nanosecondsPerUnit: number } | undefined {
  for (const isLittleEndian of [true, false]) {
    const magic = view.getUint32(0, isLittleEndian);
    if (magic === MAGIC_NANOSECONDS) return { isLittleEndian, nanosecondsPerUnit: 1 };
    if (magic === MAGIC_MICROSECONDS) return { isLittleEndian, nanosecondsPerUnit: 1000 };
  }
  return undefined;
}

/**
 * As much of an ELF file as a BPF object needs: its sections, and the functions in them. Pure.
 *
 * ```
 *  ELF64 header:   4 class  5 byte order  18 machine (u16)  40 section headers (u64)  58 their size  60 number  62 names
 *  section header: 0 name (u32)  4 type (u32)  24 offset (u64)  32 size (u64)  40 link (u32)
 *  symbol:         0 name (u32)  4 info (u8)  6 section (u16)  8 value (u64)  16 size (u64)
 * ```
 *
 * @see elf(5)
 */
import { PreflexError } from '../errors.ts';

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const MACHINE_BPF = 247;
const SECTION_HEADER_BYTES = 64;
const SECTION_SYMTAB = 2;
const SYMBOL_BYTES = 24;
const SYMBOL_GLOBAL_FUNCTION = (1 << 4) | 2;

/** A section of the file. */
export interface ElfSection {
  readonly name: string;
  /** Its bytes, in the file's memory. */
  readonly bytes: Uint8Array;
}

/** A global function. */
export interface ElfFunction {
  readonly name: string;
  /** Name of the section that it is in. */
  readonly section: string;
}

/** A BPF object file. */
export interface ElfFile {
  readonly sections: readonly ElfSection[];
  readonly functions: readonly ElfFunction[];
}

/** An error about a file that is no BPF object, or a damaged one. */
export function badObject(what: string): PreflexError {
  return new PreflexError(
    'ERR_SYSTEM',
    `The BPF object is damaged: ${what}. Build it again: npm run build:bpf`,
  );
}

/**
 * Reads a BPF object file.
 *
 * @throws PreflexError ERR_SYSTEM when it is none
 */
export function readElf(file: Uint8Array): ElfFile {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0) !== MAGIC) throw badObject('it is not an ELF file');
  if (file[4] !== CLASS_64 || file[5] !== LITTLE_ENDIAN || view.getUint16(18, true) !== MACHINE_BPF) {
    throw badObject('it is not a 64-bit little-endian BPF object');
  }
  const headersAt = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const namesIndex = view.getUint16(62, true);
  if (headersAt + count * SECTION_HEADER_BYTES > file.length || namesIndex >= count) {
    throw badObject('its section headers lie outside of it');
  }
  const bytesOf = (index: number): Uint8Array => {
    if (index >= count) throw badObject(`there is no section ${index}`);
    const at = headersAt + index * SECTION_HEADER_BYTES;
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    if (offset + size > file.length) throw badObject(`section ${index} lies outside of it`);
    return file.subarray(offset, offset + size);
  };
  const names = bytesOf(namesIndex);
  const sections: ElfSection[] = [];
  const functions: ElfFunction[] = [];
  let symbolTable = -1;
  for (let i = 0; i < count; i++) {
    const at = headersAt + i * SECTION_HEADER_BYTES;
    if (view.getUint32(at + 4, true) === SECTION_SYMTAB) symbolTable = i;
    // A section without bytes in the file (type NOBITS) has no place either.
    const hasBytes = view.getUint32(at + 4, true) !== 8;
    sections.push({
      name: textAt(names, view.getUint32(at, true)),
      bytes: hasBytes ? bytesOf(i) : new Uint8Array(),
    });
  }
  if (symbolTable >= 0) {
    const symbols = bytesOf(symbolTable);
    const symbolView = new DataView(symbols.buffer, symbols.byteOffset, symbols.byteLength);
    const link = view.getUint32(headersAt + symbolTable * SECTION_HEADER_BYTES + 40, true);
    const symbolNames = bytesOf(link);
    for (let at = 0; at + SYMBOL_BYTES <= symbols.length; at += SYMBOL_BYTES) {
      const section = sections[symbolView.getUint16(at + 6, true)];
      if (symbols[at + 4] !== SYMBOL_GLOBAL_FUNCTION || section === undefined) continue;
      functions.push({ name: textAt(symbolNames, symbolView.getUint32(at, true)), section: section.name });
    }
  }
  return { sections, functions };
}

/** The text that begins at an offset and ends with a zero byte. */
export function textAt(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  if (at > bytes.length || end < 0) throw badObject('a name has no end');
  return new TextDecoder().decode(bytes.subarray(at, end));
}

/**
 * BTF, the types that the compiler wrote into an object: where the fields of a struct lie, so that no layout has to be
 * kept in step by hand. Pure.
 *
 * ```
 *  header: 0 magic (u16)  4 header length  8 types offset  12 types length  16 strings offset  20 strings length
 *  type:   0 name  4 info (0..15 number of members, 24..28 kind)  8 size or type; then what the kind has
 * ```
 *
 * @see Linux Documentation/bpf/btf.rst
 */
import { badObject, textAt } from './elf.ts';

const MAGIC = 0xeb9f;
const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_TYPEDEF = 8;
const KIND_VOLATILE = 9;
const KIND_CONST = 10;
const KIND_RESTRICT = 11;
const KIND_VAR = 14;
const KIND_DATASEC = 15;
const KIND_TYPE_TAG = 18;
const INT_SIGNED = 1;
const POINTER_BYTES = 8;

/** Bytes behind the 12 of a type: so many, or so many for each member. */
const EXTRA_BYTES: Record<number, { readonly fixed?: number; readonly each?: number }> = {
  [KIND_INT]: { fixed: 4 },
  [KIND_ARRAY]: { fixed: 12 },
  [KIND_STRUCT]: { each: 12 },
  [KIND_UNION]: { each: 12 },
  [KIND_ENUM]: { each: 8 },
  13: { each: 8 },
  [KIND_VAR]: { fixed: 4 },
  [KIND_DATASEC]: { each: 12 },
  17: { fixed: 4 },
  19: { each: 12 },
};

/** Where a field of a struct lies. */
export interface FieldLayout {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes of the field, or of one element of an array. */
  readonly size: number;
  /** Elements of an array; 1 for any other field. */
  readonly count: number;
  readonly isSigned: boolean;
}

/** Where the fields of a struct lie. */
export interface StructLayout {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly fields: readonly FieldLayout[];
}

interface Type {
  readonly name: string;
  readonly kind: number;
  readonly memberCount: number;
  /** Size in bytes, or number of the type that it is made of. */
  readonly sizeOrType: number;
  /** Where what the kind has begins. */
  readonly at: number;
}

/** A member of a struct, with its type's number. */
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
}

/** The types of one object. */
export class Btf {
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  /** Type 0 is void. */
  readonly #types: Type[] = [{ name: 'void', kind: 0, memberCount: 0, sizeOrType: 0, at: 0 }];

  /** @throws PreflexError ERR_SYSTEM when the section is damaged */
  constructor(section: Uint8Array) {
    const view = new DataView(section.buffer, section.byteOffset, section.byteLength);
    if (section.length < 24 || view.getUint16(0, true) !== MAGIC) throw badObject('it has no BTF');
    const base = view.getUint32(4, true);
    const typesAt = base + view.getUint32(8, true);
    const typesEnd = typesAt + view.getUint32(12, true);
    const stringsAt = base + view.getUint32(16, true);
    const stringsEnd = stringsAt + view.getUint32(20, true);
    if (typesEnd > section.length || stringsEnd > section.length) throw badObject('its BTF is cut off');
    this.#view = view;
    this.#strings = section.subarray(stringsAt, stringsEnd);
    let at = typesAt;
    while (at + 12 <= typesEnd) {
      const info = view.getUint32(at + 4, true);
      const kind = (info >>> 24) & 0x1f;
      const memberCount = info & 0xffff;
      const { fixed = 0, each = 0 } = EXTRA_BYTES[kind] ?? {};
      this.#types.push({
        name: textAt(this.#strings, view.getUint32(at, true)),
        kind,
        memberCount,
        sizeOrType: view.getUint32(at + 8, true),
        at: at + 12,
      });
      at += 12 + fixed + each * memberCount;
      if (at > typesEnd) throw badObject('its BTF is cut off');
    }
  }

  /** Layout of the struct of that name. @throws PreflexError ERR_SYSTEM when there is none */
  structLayout(name: string): StructLayout {
    const found = this.#types.findIndex((type) => type.kind === KIND_STRUCT && type.name === name);
    if (found < 0) throw badObject(`it has no struct ${name}`);
    return this.layoutOf(found);
  }

  /** Layout of a struct, or of a number as a struct with one field without a name. */
  layoutOf(number: number): StructLayout {
    const resolved = this.#resolve(number);
    const type = this.#type(resolved);
    if (type.kind !== KIND_STRUCT) {
      const field = this.#field('', resolved, 0);
      return { name: type.name, size: field.size * field.count, fields: [field] };
    }
    const fields = this.members(resolved).map((member) =>
      this.#field(member.name, member.type, member.offset),
    );
    return { name: type.name, size: type.sizeOrType, fields };
  }

  /** Members of a struct or union, in the order of the source. */
  members(number: number): BtfMember[] {
    const { at, kind, memberCount } = this.#type(number);
    if (kind !== KIND_STRUCT && kind !== KIND_UNION) throw badObject(`type ${number} has no members`);
    return Array.from({ length: memberCount }, (_, i) => {
      const member = at + i * 12;
      return {
        name: textAt(this.#strings, this.#view.getUint32(member, true)),
        type: this.#view.getUint32(member + 4, true),
        offset: (this.#view.getUint32(member + 8, true) & 0xffffff) >>> 3,
      };
    });
  }

  /** Variables of a data section such as `.maps`: name and type number. */
  variables(section: string): { readonly name: string; readonly type: number }[] {
    const found = this.#types.find((type) => type.kind === KIND_DATASEC && type.name === section);
    if (found === undefined) return [];
    return Array.from({ length: found.memberCount }, (_, i) => {
      const variable = this.#type(this.#view.getUint32(found.at + i * 12, true));
      return { name: variable.name, type: this.#resolve(variable.sizeOrType) };
    });
  }

  /** The type that a pointer points to. */
  pointedTo(number: number): number {
    const type = this.#type(this.#resolve(number));
    if (type.kind !== KIND_PTR) throw badObject(`type ${number} is no pointer`);
    return this.#resolve(type.sizeOrType);
  }

  /** Elements of an array type. */
  arrayLength(number: number): number {
    const type = this.#type(this.#resolve(number));
    if (type.kind !== KIND_ARRAY) throw badObject(`type ${number} is no array`);
    return this.#view.getUint32(type.at + 8, true);
  }

  #type(number: number): Type {
    const type = this.#types[number];
    if (type === undefined) throw badObject(`its BTF has no type ${number}`);
    return type;
  }

  /** Behind typedefs and qualifiers. */
  #resolve(number: number): number {
    let next = number;
    for (let depth = 0; depth < 32; depth++) {
      const { kind, sizeOrType } = this.#type(next);
      if (
        kind !== KIND_TYPEDEF &&
        kind !== KIND_VOLATILE &&
        kind !== KIND_CONST &&
        kind !== KIND_RESTRICT &&
        kind !== KIND_TYPE_TAG
      ) {
        return next;
      }
      next = sizeOrType;
    }
    throw badObject('its BTF has a type made of itself');
  }

  #field(name: string, typeNumber: number, offset: number): FieldLayout {
    const resolved = this.#resolve(typeNumber);
    const type = this.#type(resolved);
    if (type.kind === KIND_ARRAY) {
      const element = this.#field(name, this.#view.getUint32(type.at, true), offset);
      return { ...element, count: element.count * this.arrayLength(resolved) };
    }
    const size = type.kind === KIND_PTR ? POINTER_BYTES : type.sizeOrType;
    const isSigned =
      type.kind === KIND_INT && ((this.#view.getUint32(type.at, true) >>> 24) & INT_SIGNED) !== 0;
    return { name, offset, size, count: 1, isSigned };
  }
}

/** Reads and writes the fields of one struct in memory, by its layout. */
export class StructView {
  readonly layout: StructLayout;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fields: ReadonlyMap<string, FieldLayout>;

  /**
   * @param bytes - at least `layout.size`; default new ones
   * @throws PreflexError ERR_SYSTEM when they are too few
   */
  constructor(layout: StructLayout, bytes: Uint8Array = new Uint8Array(new ArrayBuffer(layout.size))) {
    if (bytes.length < layout.size)
      throw badObject(`${bytes.length} bytes are too few for struct ${layout.name}`);
    this.layout = layout;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fields = new Map(layout.fields.map((field) => [field.name, field]));
  }

  /** A number of the struct. One of 64 bits is exact below 2^53. */
  read(name: string, index = 0): number {
    const { size, isSigned, at } = this.#place(name, index);
    const view = this.#view;
    if (size === 8) return Number(isSigned ? view.getBigInt64(at, true) : view.getBigUint64(at, true));
    if (size === 4) return isSigned ? view.getInt32(at, true) : view.getUint32(at, true);
    if (size === 2) return isSigned ? view.getInt16(at, true) : view.getUint16(at, true);
    return isSigned ? view.getInt8(at) : view.getUint8(at);
  }

  /** All elements of an array. */
  readAll(name: string): number[] {
    return Array.from({ length: this.#field(name).count }, (_, i) => this.read(name, i));
  }

  /** Writes a whole number; what does not fit the field is cut as in C. */
  write(name: string, value: number, index = 0): void {
    const { size, at } = this.#place(name, index);
    const view = this.#view;
    if (size === 8) view.setBigInt64(at, BigInt(value), true);
    else if (size === 4) view.setInt32(at, value, true);
    else if (size === 2) view.setInt16(at, value, true);
    else view.setInt8(at, value);
  }

  #field(name: string): FieldLayout {
    const field = this.#fields.get(name);
    if (field === undefined) throw badObject(`struct ${this.layout.name} has no field ${name}`);
    return field;
  }

  #place(name: string, index: number): { size: number; isSigned: boolean; at: number } {
    const { offset, size, count, isSigned } = this.#field(name);
    if (index >= count) throw badObject(`field ${name} of struct ${this.layout.name} has ${count} elements`);
    return { size, isSigned, at: offset + index * size };
  }
}

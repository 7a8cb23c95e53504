// Bodies: what the messages of a block are, and what a broker refuses of them (docs/protocol.md, "Blocks").

import { decode } from "@msgpack/msgpack";

export const MAX_NESTED = 65_536;
const MAX_DEPTH = 64;
const MAX_NUMBER_KEYS = 1_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

// A body that JavaScript can't hold: a map with the key "__proto__", or with one that is neither text nor a number.
export class Raw {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

// Walk over one value and return where the next begins. `tally` is what is counted: `nested` arrays, maps, keys and ext
// values. Throws if a broker would refuse it.
export function walk(bytes, start, tally, levels = MAX_DEPTH) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;
  const number = (size) => {
    at += size;
    if (at > bytes.length) throw new RangeError("cut off");
    return size === 1 ? view.getUint8(at - 1) : size === 2 ? view.getUint16(at - 2) : view.getUint32(at - 4);
  };
  const skip = (size) => {
    at += size;
    if (at > bytes.length) throw new RangeError("cut off");
  };
  const text = (size) => {
    skip(size);
    utf8.decode(bytes.subarray(at - size, at));
  };
  const nested = () => {
    if ((tally.nested += 1) > MAX_NESTED) throw new RangeError(`more than ${MAX_NESTED} arrays, maps, keys and ext`);
  };
  const array = (count, left) => {
    nested();
    if (left < 1) throw new RangeError(`more than ${MAX_DEPTH} levels deep`);
    for (let i = 0; i < count; i++) value(left - 1);
  };
  const map = (count, left) => {
    nested();
    if (left < 1) throw new RangeError(`more than ${MAX_DEPTH} levels deep`);
    let numbers = 0;
    for (let i = 0; i < count; i++) {
      const key = bytes[at];
      nested();
      if ((key & 0xe0) === 0x80 || (key >= 0xdc && key <= 0xdf)) throw new TypeError("an array or map as key");
      const textual = (key & 0xe0) === 0xa0 || (key >= 0xd9 && key <= 0xdb) || (key >= 0xc4 && key <= 0xc6);
      if (!textual && (numbers += 1) > MAX_NUMBER_KEYS) throw new RangeError(`more than ${MAX_NUMBER_KEYS} such keys`);
      value(left - 1);
      value(left - 1);
    }
  };
  const ext = (size) => {
    const type = (number(1) << 24) >> 24;
    const data = at;
    skip(size);
    if (type < -1) throw new TypeError("ext types from -2 to -128 are MessagePack's own");
    if (type >= 0) return nested();
    if (![4, 8, 12].includes(size)) throw new TypeError("no timestamp has this size");
    const nanoseconds = size === 4 ? 0 : size === 8 ? view.getUint32(data) >>> 2 : view.getUint32(data);
    if (nanoseconds > 999_999_999) throw new TypeError("a timestamp of too many nanoseconds");
  };
  const value = (left) => {
    const byte = number(1);
    if (byte < 0x80 || byte >= 0xe0 || byte === 0xc0 || byte === 0xc2 || byte === 0xc3) return;
    if (byte < 0x90) map(byte & 0x0f, left);
    else if (byte < 0xa0) array(byte & 0x0f, left);
    else if (byte < 0xc0) text(byte & 0x1f);
    else if (byte === 0xc1) throw new TypeError("an unused byte");
    else if (byte < 0xc7) skip(number(1 << (byte - 0xc4)));
    else if (byte < 0xca) ext(number(1 << (byte - 0xc7)));
    else if (byte < 0xcc) skip(4 << (byte - 0xca));
    else if (byte < 0xd0) skip(1 << (byte - 0xcc));
    else if (byte < 0xd4) skip(1 << (byte - 0xd0));
    else if (byte < 0xd9) ext(1 << (byte - 0xd4));
    else if (byte < 0xdc) text(number(1 << (byte - 0xd9)));
    else if (byte < 0xde) array(number(2 << (byte - 0xdc)), left);
    else map(number(2 << (byte - 0xde)), left);
  };
  value(levels);
  return at;
}

// Return where each body of a block begins, and last where they end. Throws if a broker would refuse them.
export function split(bodies) {
  const first = bodies[0];
  if (first === undefined || !((first & 0xf0) === 0x90 || first === 0xdc || first === 0xdd)) throw new TypeError("no array");
  const view = new DataView(bodies.buffer, bodies.byteOffset, bodies.byteLength);
  const count = first === 0xdc ? view.getUint16(1) : first === 0xdd ? view.getUint32(1) : first & 0x0f;
  if (count < 1 || count > 1_000) throw new RangeError("a block has 1 to 1,000 messages");
  const places = [first === 0xdc ? 3 : first === 0xdd ? 5 : 1];
  const tally = { nested: 0 };
  for (let i = 0; i < count; i++) places.push(walk(bodies, places[i], tally));
  if (places[count] !== bodies.length) throw new RangeError("something after the array");
  return places;
}

// Return the bodies of a block. Integers are numbers where these are exact, otherwise of type bigint; a body that
// JavaScript can't hold is a `Raw`: one such body must not stop a reader for good.
export function decodeBodies(bodies) {
  try {
    const values = decode(bodies, { useBigInt64: true });
    for (let i = 0; i < values.length; i++) if (typeof values[i] !== "string") values[i] = tidy(values[i]);
    return values;
  } catch {
    const places = split(bodies);
    return places.slice(0, -1).map((place, index) => {
      const body = bodies.subarray(place, places[index + 1]);
      try {
        return tidy(decode(body, { useBigInt64: true }));
      } catch {
        return new Raw(body);
      }
    });
  }
}

function tidy(value) {
  if (typeof value === "bigint") return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(tidy);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype)
    for (const key of Object.keys(value)) value[key] = tidy(value[key]);
  return value;
}

// Return the bytes of a block: an array of bodies that are packed already.
export function joinBodies(packed) {
  const count = packed.length;
  const header = count < 16 ? [0x90 | count] : [0xdc, count >> 8, count & 0xff];
  return Buffer.concat([Buffer.from(header), ...packed]);
}

// The vectors of the protocol, read: their form is on docs/protocol.md, "Test vectors".

import { readdirSync, readFileSync } from "node:fs";
import { encode, ExtData } from "@msgpack/msgpack";

const FOLDER = new URL("../../../tests/vectors/", import.meta.url);
const read = (path) => JSON.parse(readFileSync(new URL(path, FOLDER), "ascii"));

const ofVersion1 = ({ version }) => version !== 2; // these clients speak no other

export const vectors = (kind) => read(`${kind}.json`).filter(ofVersion1);

export const conversations = () =>
  readdirSync(new URL("conversations/", FOLDER)).sort()
    .map((file) => ({ name: file.replace(".json", ""), ...read(`conversations/${file}`) }))
    .filter(ofVersion1);

export const bytesOf = ({ hex, pieces }) =>
  pieces ? Buffer.concat(pieces.map(([piece, times]) => Buffer.from(piece.repeat(times), "hex"))) : Buffer.from(hex, "hex");

// A map whose keys JavaScript's objects can't have. No value stands for it: see `Unlike`.
export class Unlike {}

// Return the value that a form stands for.
export function valueOf(form) {
  if (Array.isArray(form)) return form.map(valueOf);
  if (form === null || typeof form !== "object") return form;
  const [[kind, content]] = Object.entries(form);
  if (kind === "bin") return Buffer.from(content, "hex");
  if (kind === "float") return Number(content);
  if (kind === "int") return BigInt(content);
  if (kind === "ext") return new ExtData(content[0], Buffer.from(content[1], "hex"));
  if (kind === "bodies") return Buffer.from(encode(valueOf(content)));
  if (kind === "map") {
    const found = {};
    for (const [key, value] of content) {
      if (typeof key !== "string" || key === "__proto__") return new Unlike();
      found[key] = valueOf(value);
    }
    return found;
  }
  throw new Error(`no form of a value: ${kind}`);
}

// Return a value as the vectors' values are compared: bytes as hex, whatever class they are of.
export function plain(value) {
  if (value instanceof Uint8Array) return { bin: Buffer.from(value).toString("hex") };
  if (value instanceof ExtData) return { ext: [value.type, Buffer.from(value.data).toString("hex")] };
  if (value instanceof Date) return { date: value.getTime() };
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : { int: String(value) };
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

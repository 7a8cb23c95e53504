// The vectors of the protocol: what is encoded, decoded, taken and refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { decodeBodies, joinBodies, Raw, split } from "../bodies.mjs";
import { check } from "../core.mjs";
import { bytesOf, plain, Unlike, valueOf, vectors } from "./vectors.mjs";

const MAX_MESSAGE = 1_048_576, MAX_BODIES = MAX_MESSAGE + 5;
const each = (kind, run) => {
  for (const entry of vectors(kind)) test(`${kind}: ${entry.name}`, () => run(entry, bytesOf(entry)));
};
const same = (value, form) => assert.deepEqual(plain(value), plain(valueOf(form)));

// Dates are how JavaScript has timestamps: milliseconds. Other kinds are compared as they are.
const alike = (body, form) => {
  if (form !== null && typeof form === "object" && "time" in form) {
    const [seconds, nanoseconds] = form.time;
    return assert.equal(body.getTime(), Math.trunc(seconds * 1_000 + nanoseconds / 1e6) + 0);
  }
  const value = valueOf(form);
  if (value instanceof Unlike) return assert.ok(body instanceof Raw || typeof body === "object", "it is handed over raw, or near");
  assert.deepEqual(plain(body), plain(value));
};

each("commands", (entry, bytes) => {
  const decoded = decode(bytes, { useBigInt64: true });
  same(decoded.slice(0, entry.value.length), entry.value);
  if (decoded.length === entry.value.length) {
    const encoded = encode(valueOf(entry.value), { useBigInt64: true });
    same(decode(encoded, { useBigInt64: true }), entry.value);
  }
});

each("notices", (entry, bytes) => same(check(decode(bytes)), entry.value));

each("refused_notices", (entry, bytes) => assert.throws(() => check(decode(bytes))));

each("blocks", (entry, bytes) => {
  const [first, time, user, producer, bodies] = decode(bytes);
  same([first, time, user, producer, bodies], entry.value);
  const taken = decodeBodies(bodies);
  assert.equal(taken.length, entry.bodies.length);
  taken.forEach((body, index) => alike(body, entry.bodies[index]));
  const places = split(bodies);
  assert.equal(places.length - 1, entry.bodies.length);
  const again = joinBodies(places.slice(0, -1).map((place, index) => bodies.subarray(place, places[index + 1])));
  assert.deepEqual(decodeBodies(again).length, taken.length);
  for (const { after, upto, seqs } of entry.reads)
    assert.deepEqual(taken.map((_, index) => first + index).filter((seq) => seq > after && seq <= upto), seqs);
});

each("accepted_bodies", ({ count }, bytes) => assert.equal(split(bytes).length - 1, count));

each("refused_bodies", ({ code }, bytes) => {
  if (code === "bad_block") return assert.throws(() => split(bytes));
  const places = split(bytes);
  const largest = Math.max(...places.slice(1).map((place, index) => place - places[index]));
  assert.ok(largest > MAX_MESSAGE || bytes.length > MAX_BODIES);
});

each("names", ({ text, good }, bytes) => {
  if (Buffer.from(text, "utf8").equals(bytes)) assert.equal([...text].length > 64 ? good : false, false);
});

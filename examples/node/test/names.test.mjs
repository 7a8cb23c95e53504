// What the whole client's core does with names: it leaves them to the broker, but for those that can't be sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decode } from "@msgpack/msgpack";
import { Core } from "../core.mjs";
import { vectors } from "./vectors.mjs";

const options = () => ({ producer: Buffer.alloc(16, "p"), token: Buffer.alloc(16, "t") });

function greeted() {
  const sent = [];
  const core = new Core({ send: (frame) => sent.push(decode(frame)), connect() {}, ended() {} }, "alice", options());
  core.start(0);
  core.welcomed([1, "alice", 10, 1 << 20, 1 << 20, 1000, 64, 1000, 3000, 0]);
  sent.length = 0;
  return { core, sent };
}

test("half a surrogate pair is refused before it is sent, and the client goes on", async () => {
  assert.throws(() => new Core({}, "a\ud800", options()), { code: "bad_name" });
  const { core, sent } = greeted();
  for (const name of ["\ud800", "a\udc00b", "\udc00\ud800"])
    await assert.rejects(core.ask("members", [name, null, 500]), { code: "bad_name" });
  assert.deepEqual(sent, []);
  core.ask("members", ["😀", null, 500]);
  assert.deepEqual(sent, [["members", 2, "😀", null, 500]]);
});

test("every other name is left to the broker", () => {
  const { core, sent } = greeted();
  const texts = vectors("names").map(({ text }) => text).filter((text) => text.isWellFormed?.() ?? true);
  for (const text of texts.slice(0, 50)) core.ask("members", [text, null, 500]);
  assert.deepEqual(sent.map(([, , name]) => name), texts.slice(0, 50));
});

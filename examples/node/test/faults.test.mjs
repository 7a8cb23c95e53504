// The whole client's core beside a broker of the test's own that refuses, fails, and loses connections: whatever goes
// wrong, a message that was acknowledged is in the log once and in its order, and one that was refused is not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { Room } from "../client.mjs";
import { Core } from "../core.mjs";
import { settled } from "./conversation.mjs";

const RUNS = 150, STEPS = 400, CALM_STEPS = 3_000;
const KNOWN = 16; // stored blocks that are known again

// Numbers from 0 to 1, the same for the same seed (mulberry32).
function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Broker {
  // `early`: bodies are checked before the block's number, as a broker of an older version does.
  constructor(random, early) {
    Object.assign(this, { random, early, log: [], firsts: [], calm: false });
    this.connect();
  }

  connect() {
    Object.assign(this, { heard: [], said: [], strict: this.random() < 0.5 }); // `strict`: a smaller --max-message
  }

  ok(request, ...fields) {
    this.said.push(encode(["ok", request, ...fields]));
  }

  refuse(request, code, retryable, detail = null) {
    this.said.push(encode(["error", request, code, code, retryable, detail]));
  }

  fails(often) {
    return !this.calm && this.random() < often;
  }

  hear([word, request, ...fields]) {
    if (word === "hello") this.ok(request, 1, "alice", 4, 1048576, 1048576, 1000, 16, 1000, 3000, 15000);
    if (word === "join") this.ok(request, "General", 77, fields[2]?.[1] ?? 0, 1, this.log.length, 4, false);
    if (word === "ping") this.said.push(encode(["pong", 1000]));
    if (word === "send") this.store(request, fields[1], decode(fields[2]));
  }

  store(request, number, bodies) {
    const due = this.firsts.length + 1;
    const bad = bodies.some((body) => body.includes("bad") || (body.includes("large") && this.strict && !this.calm));
    if (this.fails(0.04)) this.refuse(request, this.random() < 0.5 ? "busy" : "closing", true);
    else if (bad && this.early) this.refuse(request, "bad_block", false);
    else if (due === 1 && number > 1) this.refuse(request, "forgotten", false);
    else if (number < due && number >= due - KNOWN) this.ok(request, this.firsts[number - 1], 1, 77);
    else if (number !== due) this.refuse(request, "out_of_order", false, due);
    else if (bad) this.refuse(request, "bad_block", false);
    else if (this.fails(0.03)) this.refuse(request, "store_failed", true);
    else {
      this.firsts.push(this.log.length + 1);
      this.log.push(...bodies);
      if (this.fails(0.03)) this.refuse(request, "store_failed", true); // the disk holds it all the same
      else this.ok(request, this.firsts[number - 1], 1, 77);
    }
  }
}

async function run(seed) {
  const random = chance(seed);
  const broker = new Broker(random, seed % 2 === 0);
  const port = { send: (frame) => broker.heard.push(decode(frame)), connect: () => broker.connect(), ended() {} };
  const core = new Core(port, "alice", { producer: Buffer.alloc(16, "p"), token: Buffer.alloc(16, "t"), random });
  const room = new Room(core, "General", false);
  const sent = [];
  let now = 1_000;
  core.start(now);
  core.join(room, null, true, 3);

  const send = () => {
    const kind = random() < 0.08 ? "large" : random() < 0.04 ? "bad" : "";
    const message = { body: `${sent.length}${kind}`, stored: null, refused: null };
    sent.push(message);
    room.send(message.body).then(({ seq }) => (message.stored = seq), (error) => (message.refused = error));
  };
  const step = async () => {
    const what = random();
    if (what < 0.4 && broker.heard.length) broker.hear(broker.heard.shift());
    else if (what < 0.75 && broker.said.length) core.receive(broker.said.shift(), now);
    else if (what >= 0.75 && what < 0.78 && room.sending && !broker.calm) core.lost();
    else core.tick((now += 100 * random()));
    await settled();
  };
  while (!room.live) await step();
  for (let count = 0; count < STEPS; count++) {
    if (random() < 0.2) send();
    await step();
  }
  broker.calm = true;
  for (let count = 0; count < CALM_STEPS && sent.some(({ stored, refused }) => !stored && !refused); count++) await step();

  let before = 0;
  for (const { body, stored, refused } of sent) {
    const times = broker.log.filter((each) => each === body).length;
    if (stored) {
      assert.equal(times, 1, body);
      assert.equal(broker.log[stored - 1], body);
      assert.ok(stored > before, `${body}: ${stored} after ${before}`);
      before = stored;
    } else {
      assert.ok(refused, `${body} has no outcome`);
      assert.ok(times <= (refused.unknown ? 1 : 0), `${body}: ${refused.code}, and ${times} times in the log`);
    }
  }
}

test("whatever goes wrong, what is acknowledged is stored once", async () => {
  for (let seed = 1; seed <= RUNS; seed++) await run(seed);
});

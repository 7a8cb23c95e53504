// The whole client's core in every conversation, without a socket, on a clock of the test's own.

import { test } from "node:test";
import { decode } from "@msgpack/msgpack";
import { Room } from "../client.mjs";
import { Core } from "../core.mjs";
import { play, settled } from "./conversation.mjs";
import { conversations } from "./vectors.mjs";

const SOON = 2_000; // milliseconds within which a client must have said what it has to say

class Played {
  constructor() {
    Object.assign(this, { sent: [], joins: [], leaves: [], questions: [], outcomes: [], rooms: new Map(), why: undefined, now: 50_000 });
    const port = { send: (frame) => this.sent.push(decode(frame)), connect() {}, ended: (error) => (this.why = error) };
    this.core = new Core(port, "alice", { producer: Buffer.alloc(16, "p"), token: Buffer.alloc(16, "t"), random: () => 0 });
    this.core.start(this.now);
  }

  join(name, position, flags = 3) {
    const room = new Room(this.core, name, (flags & 4) > 0);
    this.rooms.set(name, room);
    this.joins.push(this.core.join(room, position, true, flags).catch((error) => error));
  }

  leave(name) {
    this.leaves.push(this.rooms.get(name).leave().then(() => true));
  }

  ask(word, fields) {
    this.questions.push(this.core.ask(word, fields));
  }

  close() {
    this.core.close();
  }

  async send(name, bodies) {
    const stored = Promise.all(bodies.map((body) => this.rooms.get(name).send(body)));
    this.outcomes.push(stored.then(
      (all) => all.map(({ seq }) => seq),
      ({ code, unknown = false }) => ({ code, unknown }),
    ));
    await settled();
  }

  take(name, count) {
    const taken = [];
    for (let found; taken.length < count && (found = this.rooms.get(name).take()); ) taken.push([found.seq, found.user, found.body]);
    return taken;
  }

  takeGap(name) {
    const { after, upto, reason } = this.rooms.get(name).take();
    return { room: name, after, upto, reason };
  }

  position(name) {
    return this.rooms.get(name).position;
  }

  outcome() {
    return this.outcomes.shift();
  }

  answer() {
    return this.questions.shift();
  }

  left() {
    return this.leaves.at(-1);
  }

  over(name) {
    return this.rooms.get(name).ending?.code;
  }

  async unjoined() {
    return (await this.joins.at(-1)).code;
  }

  async said() {
    for (const until = this.now + SOON; ; ) {
      await settled();
      const next = this.sent.shift();
      if (next && next[0] !== "ping") return next;
      if (!next && this.now >= until) return null;
      if (!next) this.core.tick((this.now += 50));
    }
  }

  async quiet() {
    return (await this.said()) === null;
  }

  async say(frame) {
    this.core.receive(frame, this.now);
    await settled();
  }

  lose() {
    this.core.lost();
  }

  ended() {
    return this.why?.code;
  }
}

for (const conversation of conversations()) test(conversation.name, () => play(conversation, new Played()));

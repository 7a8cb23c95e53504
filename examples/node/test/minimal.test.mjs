// The minimal client in those conversations that are for it too, with a broker of the script's over a real socket.

import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { Router } from "zeromq";
import { Client } from "../minimal.mjs";
import { play } from "./conversation.mjs";
import { conversations } from "./vectors.mjs";

const SOON = 2_000; // milliseconds within which the client must have said what it has to say
const LONG = 300; // milliseconds after which it says no more

class Played {
  static async begin() {
    const played = new Played();
    Object.assign(played, { router: new Router({ linger: 0 }), heard: [], waiting: [], given: new Map(), outcomes: [], peer: null });
    await played.router.bind("tcp://127.0.0.1:*");
    played.client = new Client(played.router.lastEndpoint, "alice");
    played.hear();
    return played;
  }

  async hear() {
    for await (const [peer, frame] of this.router) {
      const command = decode(frame);
      if (command[0] === "hello") this.peer = peer; // what a closed connection still says is dropped
      if (command[0] === "ping" || !this.peer?.equals(peer)) continue;
      this.heard.push(command);
      this.waiting.shift()?.();
    }
  }

  join(name, position) {
    this.given.set(name, []);
    this.client.join(name, (found) => this.given.get(name).push(found), position);
  }

  close() {
    this.client.close();
  }

  send(name, bodies) {
    this.outcomes.push(this.client.send(name, bodies).then(
      (first) => bodies.map((_, index) => first + index),
      ({ code, unknown }) => ({ code, unknown }),
    ));
  }

  async take(name, count) {
    const given = this.given.get(name);
    for (const until = Date.now() + SOON; given.length < count && Date.now() < until; ) await pause(5);
    return given.splice(0, count).map(({ seq, user, body }) => [seq, user, body]);
  }

  async takeGap(name) {
    for (const until = Date.now() + SOON; !this.given.get(name).length && Date.now() < until; ) await pause(5);
    const { room, after, upto, gap } = this.given.get(name).shift();
    return { room, after, upto, reason: gap };
  }

  position(name) {
    return this.client.rooms.get(name).position;
  }

  outcome() {
    return this.outcomes.shift();
  }

  async said(within = SOON) {
    if (!this.heard.length) {
      const timer = new AbortController();
      await Promise.race([new Promise((resolve) => this.waiting.push(resolve)), pause(within, timer.signal)]);
      timer.abort();
    }
    return this.heard.shift() ?? null;
  }

  async quiet() {
    return (await this.said(LONG)) === null;
  }

  say(frame) {
    return this.router.send([this.peer, frame]);
  }

  // What a minimal client can be told at once of a lost connection; else it finds out by three seconds of silence.
  async lose() {
    const { peer } = this;
    this.peer = null;
    await this.router.send([peer, encode(["end", "closing", "the broker is going down", true])]);
  }

  async ended() {
    for (const until = Date.now() + SOON; !this.client.failed && Date.now() < until; ) await pause(5);
    this.heard.length = 0; // its goodbye
    return this.client.failed?.code;
  }

  end() {
    this.client.close();
    this.router.close();
  }
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => resolve(clearTimeout(timer)));
  });

for (const conversation of conversations().filter(({ minimal }) => minimal))
  test(conversation.name, async () => {
    const played = await Played.begin();
    try {
      await play(conversation, played);
    } finally {
      played.end();
    }
  });

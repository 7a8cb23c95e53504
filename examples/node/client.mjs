// A whole client of zchat: rooms as async iterables, messages stored once, over lost connections.
//
//   const client = await Client.connect("tcp://127.0.0.1:5555", "alice");
//   const room = await client.join("General");
//   const { seq } = await room.send("hello");
//   for await (const message of room) console.log(message.user, message.body);

import { randomBytes } from "node:crypto";
import { Dealer } from "zeromq";
import { decodeBodies } from "./bodies.mjs";
import { Core, LOG, OWN, PRESENT, ZchatError } from "./core.mjs";
import { Reading } from "./reading.mjs";

const NEVER = 24 * 3_600_000; // milliseconds until ZeroMQ connects again by itself: a fresh socket does

export class Client {
  // `window`: how many notifications a room may hold untaken, 0 for the broker's own; `onInvited`, `onState`: called with
  // what is said of direct rooms, and with a room whose members changed; `token`: of an earlier process, whose session
  // goes on. The producer is always a fresh one: numbers and blocks without an answer end with the process.
  static async connect(url, user, options = {}) {
    const client = new Client(url, user, options);
    await client.opened;
    return client;
  }

  constructor(url, user, options) {
    this.url = url;
    const own = { producer: randomBytes(16), connection: options.token ? Date.now() : 0 };
    this.core = new Core(this, user, { token: randomBytes(16), ...options, ...own });
    this.opened = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.open();
    this.core.start(performance.now());
    this.timer = setInterval(() => this.core.tick(performance.now()), 50);
  }

  // Join a room from now on, or after `position`; `echo`: own messages come too; `present`: count as here.
  async join(name, { position = null, create = true, echo = false, log = true, present = true } = {}) {
    const room = new Room(this.core, name, echo);
    const flags = (log ? LOG : 0) | (present ? PRESENT : 0) | (echo ? OWN : 0);
    await this.core.join(room, position, create, flags);
    return room;
  }

  // The direct room with another user. Either order of the two will do: the answer has the broker's.
  direct(user, options) {
    return this.join(`@${this.core.user}\n${user}`, options);
  }

  // A part of a room's log, own messages included: the oldest `limit` after `after`, or the newest before `before`.
  async history(name, { after = null, before = null, limit = 100 } = {}) {
    const found = [];
    for (let more = limit > 0; more; ) {
      const answer = await this.core.ask("history", [name, after, before, limit - found.length]);
      const [, , begin, upto, goesOn, blocks] = answer;
      for (const [first, time, user, producer, bodies] of blocks)
        decodeBodies(bodies).forEach((body, index) => {
          const seq = first + index;
          if (seq > begin && seq <= upto) found.push({ seq, time, user, body, own: this.isOwn(producer) });
        });
      after = upto;
      more = goesOn && found.length < limit;
    }
    return found;
  }

  isOwn(producer) {
    return this.core.digest !== null && Buffer.from(this.core.digest).equals(producer);
  }

  async rooms() {
    const rows = await this.pages("rooms", []);
    return rows.map(([name, members, first, last, mark]) => ({ name, members, first, last, mark }));
  }

  async members(name) {
    const rows = await this.pages("members", [name]);
    return rows.map(([user, since, typing, mark]) => ({ user, since, typing, mark }));
  }

  async pages(word, fields) {
    const found = [];
    for (let more = true; more; ) {
      const [page, goesOn] = await this.core.ask(word, [...fields, found.at(-1)?.[0] ?? null, 500]);
      found.push(...page);
      more = goesOn && page.length > 0;
    }
    return found;
  }

  async markRead(name, seq) {
    return (await this.core.ask("mark", [name, seq]))[0];
  }

  // Say goodbye; what is still unanswered then stays so.
  close() {
    return this.core.close();
  }

  // -- the core's port ---------------------------------------------------------------------------------------------

  open() {
    this.out = [];
    const socket = new Dealer({ linger: 0, reconnectInterval: NEVER, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
    this.socket = socket;
    const lost = () => socket === this.socket && this.core.lost();
    for (const event of ["disconnect", "connect:retry", "handshake:error:protocol", "handshake:error:auth"])
      socket.events.on(event, lost);
    socket.connect(this.url);
    this.read(socket);
  }

  connect() {
    this.socket.close();
    this.open();
  }

  async read(socket) {
    try {
      for await (const [frame] of socket) {
        if (socket !== this.socket) return;
        this.core.receive(frame, performance.now());
        if (this.core.welcome) this.resolve();
      }
    } catch (error) {
      if (socket === this.socket) this.core.end(error);
    }
  }

  async send(frame) {
    const { socket, out } = this;
    if (out.push(frame) > 1) return; // a socket sends one at a time
    while (out.length && !socket.closed) {
      try {
        await socket.send(out[0]);
      } catch {
        return; // closed meanwhile
      }
      out.shift();
    }
  }

  ended(error) {
    clearInterval(this.timer);
    this.reject(error);
    this.opened.catch(() => {});
    const { socket } = this;
    setTimeout(() => socket.close(), 20);
  }
}

export class Room {
  constructor(core, name, echo) {
    this.core = core;
    this.name = name;
    this.reading = new Reading(echo);
    this.sending = null;
    this.live = false;
    this.people = new Map(); // by user: { since, typing, mark }; null in a crowd
    this.members = 0;
    this.waiting = [];
    this.ending = undefined; // why nothing comes any more, null if it was left
  }

  // Where reading goes on after what was taken: [epoch, seq], for `join` in another process.
  get position() {
    return this.reading.position;
  }

  // Keep the promise with { seq, time } once the message is stored. A rejection whose error has `unknown` set leaves
  // open whether it is.
  send(body) {
    if (this.core.state === "ended" || this.ending !== undefined) return Promise.reject(this.ending ?? new ZchatError("left", "it was left"));
    const stored = this.sending.add(body);
    this.pumped ??= queueMicrotask(() => {
      this.pumped = undefined; // what is sent in one turn of the loop goes into one block
      this.core.pump();
    }) ?? true;
    return stored;
  }

  typing(active = true) {
    if (this.live) this.core.send("typing", [this.name, active]);
  }

  leave() {
    return this.core.leave(this);
  }

  // Return the next message, or gap (which has a `reason`), that has come, undefined if there is none.
  take() {
    const [head] = this.reading.queue;
    if (!head) return undefined;
    let found = head;
    if (head.messages) {
      found = head.messages[head.next++];
      this.reading.took(found.seq);
    }
    if (!head.messages || head.next === head.messages.length) {
      this.reading.finish();
      this.core.taken(this);
    }
    return found;
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const found = this.take();
      if (found !== undefined) yield found;
      else if (this.ending !== undefined) {
        if (this.ending) throw this.ending;
        return;
      } else await new Promise((resolve) => this.waiting.push(resolve));
    }
  }

  arrived() {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  end(error) {
    this.ending ??= error;
    this.arrived();
  }
}

// The smallest client of zchat that loses nothing: the one on docs/protocol.md.
//
// It has one block of a room in flight, and sends the same bytes until they are answered. Its position is where the last
// notification that it has handled ended. Whatever goes wrong, it opens a fresh connection and joins there again.

import { randomBytes } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { Dealer } from "zeromq";

const PING = 1000, LOST = 3000; // milliseconds of silence

export class Client {
  constructor(url, user) {
    Object.assign(this, { url, user, producer: randomBytes(16), token: randomBytes(16) });
    Object.assign(this, { rooms: new Map(), spelt: new Map(), connection: 0, request: 0, failed: null });
    this.open();
    this.timer = setInterval(() => this.tick(), 250);
  }

  // Read a room after a position, [epoch, seq]: [0, 0] is its beginning, null is now. `handle` is called with each
  // message, and with each gap. A room has one `name` here, however the broker spells it.
  join(name, handle, position = null) {
    this.rooms.set(name, { name, handle, position, taken: 0, number: 1, blocks: [], joined: false });
    this.enter(this.rooms.get(name));
  }

  // Send up to 1,000 messages of 1 MiB together to a room that was joined; the promise is kept once they are stored.
  send(name, messages) {
    const room = this.rooms.get(name);
    return new Promise((stored, refused) => {
      if (room.blocks.push({ bodies: encode(messages), stored, refused, tried: false }) === 1) this.next(room);
    });
  }

  close() {
    clearInterval(this.timer);
    if (!this.failed) this.ask("bye");
    this.failed ??= new Error("closed");
    setTimeout(() => this.socket.close(), 100);
  }

  // -- the connection ------------------------------------------------------------------------------------------------

  open() {
    this.socket?.close(); // never use a socket again: ZeroMQ would first send what it has queued
    this.socket = new Dealer({ linger: 0, sendHighWaterMark: 0 });
    this.socket.connect(this.url);
    Object.assign(this, { answers: new Map(), out: [], heard: Date.now(), said: 0, greeted: false, again: Infinity });
    for (const room of this.rooms.values()) room.joined = false;
    this.read(this.socket);
    this.connection += 1; // each greeting with this token has a higher number
    this.ask("hello", 1, 1, this.user, this.producer, this.token, 0, this.connection).then(() => {
      this.greeted = true;
      for (const room of this.rooms.values()) this.enter(room);
    }, (error) => this.fail(error));
  }

  async read(socket) {
    try {
      for await (const [frame] of socket) if (socket === this.socket) this.take(decode(frame));
    } catch (error) {
      this.fail(error);
    }
  }

  async say(...fields) {
    if (this.out.push(encode(fields)) > 1) return; // a socket sends one frame at a time
    const { socket, out } = this;
    while (out.length && !socket.closed) await socket.send(out[0]).then(() => out.shift(), () => {});
    this.said = Date.now();
  }

  ask(word, ...fields) {
    this.request += 1;
    const answer = new Promise((resolve, reject) => this.answers.set(this.request, { resolve, reject }));
    this.say(word, this.request, ...fields);
    return answer;
  }

  tick() {
    const now = Date.now();
    if (this.failed) return;
    if (now - this.heard > LOST || now > this.again) this.open();
    else if (this.greeted && now - Math.min(this.heard, this.said) > PING) this.say("ping");
  }

  // -- rooms -----------------------------------------------------------------------------------------------------------

  enter(room) {
    if (!this.greeted || room.joined) return;
    room.taken = 0;
    this.ask("join", room.name, this.connection, room.position, 0, true).then(([spelt, epoch, seq]) => {
      this.spelt.set(spelt, room); // all that the broker sends of it has this name
      room.position = [epoch, seq];
      room.joined = true;
      this.next(room);
    }, (error) => this.fail(error));
  }

  next(room) {
    const block = room.blocks[0];
    if (!block || !room.joined) return;
    const first = !block.tried;
    block.tried = true;
    this.ask("send", room.name, room.number, block.bodies).then((answer) => {
      room.number += 1;
      room.blocks.shift().stored(answer[0]);
      this.next(room);
    }, ({ code, message, detail }) => {
      // The number of a block that was sent before counts as used: it may be stored.
      const due = { out_of_order: detail, forgotten: 1 }[code] ?? (first ? room.number : room.number + 1);
      const unknown = !first || code === "out_of_order";
      if (due < room.number && (first || code === "out_of_order")) block.tried = false; // this log hasn't got it
      else room.blocks.shift().refused(Object.assign(new Error(message), { code, unknown }));
      room.number = due;
      this.next(room);
    });
  }

  take([word, ...fields]) {
    this.heard = Date.now();
    if (word === "ok" || (word === "error" && fields[0] !== null)) {
      const [request, ...rest] = fields;
      const [code, text, retryable, detail] = rest;
      if (word === "error" && (retryable || code === "no_session")) this.later();
      else if (word === "ok") this.answers.get(request)?.resolve(rest);
      else this.answers.get(request)?.reject(Object.assign(new Error(text), { code, detail }));
    } else if (word === "push" || word === "gap") {
      const [name, epoch, after, upto, blocks] = fields;
      const room = this.spelt.get(name);
      if (word === "gap") room.handle({ room: name, gap: blocks, after, upto });
      else for (const [first, time, user, , bodies] of blocks)
        decode(bodies).forEach((body, index) => {
          if (first + index > after) room.handle({ room: name, seq: first + index, time, user, body });
        });
      room.position = [epoch, upto];
      this.say("credit", name, this.connection, (room.taken += 1));
    } else if (word === "state") {
      this.say("seen", fields[0]);
    } else if (word === "end" || word === "error") {
      const [code, text, retryable] = word === "end" ? fields : fields.slice(1);
      if (retryable || code === "no_session") this.later();
      else this.fail(Object.assign(new Error(text), { code }));
    }
  }

  later() {
    this.again = Math.min(this.again, Date.now() + 50 + 450 * Math.random());
  }

  fail(error) {
    if (this.failed) return;
    this.failed = error;
    for (const room of this.rooms.values()) for (const block of room.blocks.splice(0)) block.refused(error);
    this.close();
  }
}

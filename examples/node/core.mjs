// The client without I/O: frames, calls and the time come in; frames go out through a port.
//
// The port has `send(frame)`, `connect()` (over a fresh socket) and `ended(error)`. `now` is in milliseconds.

import { decode, encode } from "@msgpack/msgpack";
import { decodeBodies } from "./bodies.mjs";
import { Reading } from "./reading.mjs";
import { Sending } from "./sending.mjs";

const GREET = 1_000; // milliseconds that a greeting may take
const WAIT = [50, 500]; // milliseconds between two connections: at least, at most
const DIGEST = 1; // flag of hello
export const [LOG, PRESENT, OWN] = [1, 2, 4]; // flags of join
const FINAL = "final", FRESH = "a fresh connection";

// What follows from an error's code, where it isn't for the request alone. A code that isn't here goes by `retryable`.
const ACTIONS = { no_session: FRESH, superseded: FINAL, too_many_requests: FINAL, version: FINAL };

export class ZchatError extends Error {
  constructor(code, text, retryable = false, detail = null) {
    super(text);
    Object.assign(this, { code, retryable, detail });
  }
}

// Names are checked by the broker, whose answer says what is wrong. Only text that has no bytes in UTF-8 is refused here:
// the frame would be malformed, which ends the client.
function checkText(text) {
  if (/\p{Surrogate}/u.test(text)) throw new ZchatError("bad_name", "a name has half a surrogate pair: it is not text");
}

export class Core {
  // `connection`: the number of the latest one with this token.
  constructor(port, user, { window = 0, producer, token, connection = 0, random = Math.random, onInvited, onState } = {}) {
    checkText(user);
    Object.assign(this, { port, user, window, producer, token, connection, random, onInvited, onState });
    this.state = "new"; // then greeting, open, lost, ended
    this.requests = 0;
    this.joins = 0;
    this.answers = new Map(); // by request: what is sent and not answered
    this.questions = []; // those that wait for a place
    this.rooms = new Map(); // by name, as the broker spells it
    this.welcome = null;
    this.wait = WAIT[0];
    this.now = 0;
  }

  // -- the connection ----------------------------------------------------------------------------------------------

  start(now) {
    Object.assign(this, { state: "greeting", now, heard: now, said: now, begun: now, pingAfter: Infinity });
    this.connection += 1;
    const fields = [1, 1, this.user, this.producer, this.token, this.window, this.connection, DIGEST];
    this.send("hello", fields, {
      ok: (answer) => this.welcomed(answer),
      // Over the first connection any refusal is final; later a retryable one is tried again.
      error: (error) => (error.retryable && this.welcome ? this.lost() : this.end(error)),
    });
  }

  welcomed([version, user, window, maxMessage, maxBlockBytes, maxBlockMessages, maxRequests, pingMs, lostMs, , digest]) {
    this.welcome = { version, user, window, maxMessage, maxBlockBytes, maxBlockMessages, maxRequests, pingMs, lostMs };
    this.digest = digest ?? null; // an older broker's welcome ends before it
    this.state = "open";
    this.wait = WAIT[0];
    this.pingAfter = pingMs;
    for (const room of this.rooms.values()) this.enter(room);
    this.pump();
  }

  lost() {
    if (this.state === "lost" || this.state === "ended") return;
    if (!this.welcome) return this.end(new ZchatError("lost", "no broker answered"));
    this.state = "lost";
    this.retryAt = this.now + WAIT[0] + (this.wait - WAIT[0]) * this.random();
    this.wait = Math.min(WAIT[1], this.wait * 2);
    const unanswered = [...this.answers.values()].map(({ question }) => question).filter(Boolean);
    this.answers.clear();
    for (const question of unanswered)
      if (question.word === "leave" || question.word === "bye") question.ok([]); // done by having lost the connection
      else this.questions.push(question); // to be asked again
    for (const room of this.rooms.values()) {
      room.live = false;
      room.sending.lost();
    }
  }

  // Say goodbye, and end once that is answered.
  async close() {
    if (this.state === "open") await this.ask("bye", []).catch(() => {});
    this.end(new ZchatError("closed", "the client was closed"));
  }

  end(error) {
    if (this.state === "ended") return;
    this.state = "ended";
    for (const question of [...this.answers.values(), ...this.questions]) question.error?.(error);
    for (const room of this.rooms.values()) {
      room.sending.fail(error);
      room.end(error.code === "closed" ? null : error);
    }
    this.port.ended(error);
  }

  // Return when to call again, in milliseconds, if nothing happens.
  tick(now) {
    this.now = now;
    if (this.state === "lost" && now >= this.retryAt) {
      this.port.connect();
      this.start(now);
    } else if (this.state === "greeting" && now - this.begun >= (this.welcome ? GREET : 3 * GREET)) {
      this.lost();
    } else if (this.state === "open") {
      if (now - this.heard >= this.welcome.lostMs) this.lost();
      else if (now - Math.min(this.heard, this.said) >= this.pingAfter) this.send("ping", []);
      this.pump();
    }
    return 50;
  }

  // -- what goes out -----------------------------------------------------------------------------------------------

  // Send a command now; with `answer` it is a request.
  send(word, fields, answer) {
    this.said = this.now;
    if (answer) {
      this.requests += 1;
      this.answers.set(this.requests, answer);
      fields = [this.requests, ...fields];
    }
    this.port.send(encode([word, ...fields]));
  }

  // Ask as soon as there is a place; over lost connections too.
  ask(word, fields) {
    return new Promise((ok, error) => {
      fields.forEach(checkText);
      if (this.state === "ended") return error(new ZchatError("closed", "the client has ended"));
      this.questions.push({ word, fields, ok, error });
      this.pump();
    });
  }

  pump() {
    if (this.state !== "open") return;
    const places = () => this.welcome.maxRequests - this.answers.size;
    while (this.questions.length && places() > 0) {
      const question = this.questions.shift();
      this.send(question.word, question.fields, { ...question, question });
    }
    for (const room of this.rooms.values())
      for (let block; places() > 0 && (block = room.sending.next(this.now)); ) this.sendBlock(room, block);
  }

  sendBlock(room, block) {
    this.send("send", [room.name, block.number, block.bodies], {
      ok: ([first, time, epoch]) => {
        room.reading.stored(epoch, first, first + block.messages.length - 1);
        room.sending.stored(block, first, time);
      },
      error: (error) => room.sending.refused(block, error, this.now),
    });
  }

  // -- rooms -------------------------------------------------------------------------------------------------------

  // Join a room after a position, [epoch, seq], or from now on; `room` is what the application has of it.
  join(room, position, create, flags) {
    room.asked = flags;
    room.number = this.joins += 1;
    const fields = [room.name, room.number, position, 0, create];
    return this.ask("join", flags === (LOG | PRESENT) ? fields : [...fields, flags]).then((answer) => {
      this.honoured(room, answer);
      room.sending = new Sending(this.welcome);
      this.entered(room, answer, false);
    });
  }

  // Join a room again, where it was: after what was received, with what is held.
  enter(room) {
    room.number = this.joins += 1;
    const fields = [room.name, room.number, room.reading.received, room.reading.held(this.welcome.window), true];
    this.send("join", room.asked === (LOG | PRESENT) ? fields : [...fields, room.asked], {
      ok: (answer) => {
        if (this.rooms.get(room.name) !== room) return;
        try {
          this.honoured(room, answer);
        } catch (error) {
          return this.forget(room, error);
        }
        this.entered(room, answer, true);
      },
      error: (error) => (error.retryable ? this.lost() : this.forget(room, error)),
    });
  }

  honoured(room, [, , , , , , , flags]) {
    if (room.asked === (LOG | PRESENT) || flags === room.asked) return;
    this.send("leave", [room.name, room.number], {});
    throw new ZchatError("version", "the broker is too old for what was asked of the join");
  }

  entered(room, [name, epoch, seq, , , window, gap], again) {
    this.rooms.delete(room.name);
    this.rooms.set(name, room);
    room.name = name;
    room.live = true;
    room.reading.joined(epoch, seq, window, gap, again);
    room.sending.limits = this.welcome; // another broker may have others
    if (again) {
      room.sending.reopen();
      this.taken(room); // what was taken since the join was sent
    }
    this.pump();
  }

  forget(room, error) {
    this.rooms.delete(room.name);
    room.sending.fail(error);
    room.end(error);
  }

  leave(room) {
    this.rooms.delete(room.name);
    const left = new ZchatError("left", "the room was left");
    room.sending.fail(left);
    room.end(null);
    return room.live ? this.ask("leave", [room.name, room.number]) : Promise.resolve();
  }

  // The application has taken something: return credit if it is due.
  taken(room) {
    const credit = room.live && this.state === "open" ? room.reading.credit() : 0;
    if (credit) this.send("credit", [room.name, room.number, credit]);
  }

  // -- what comes in -----------------------------------------------------------------------------------------------

  receive(frame, now) {
    this.now = now;
    if (this.state === "ended" || this.state === "lost") return;
    this.heard = now;
    try {
      const [word, ...fields] = check(decode(frame));
      this[`take_${word}`](...fields);
    } catch (error) {
      this.end(error instanceof ZchatError ? error : new ZchatError("protocol", `the broker broke the protocol: ${error.message}`));
    }
  }

  take_ok(request, ...answer) {
    const waiting = this.answers.get(request);
    this.answers.delete(request);
    waiting?.ok?.(answer);
    this.pump();
  }

  take_error(request, code, text, retryable, detail) {
    const error = new ZchatError(code, text, retryable, detail);
    if (request === null || ACTIONS[code]) return this.dismissed(error);
    const waiting = this.answers.get(request);
    this.answers.delete(request);
    waiting?.error?.(error);
    this.pump();
  }

  take_end(code, text, retryable) {
    this.dismissed(new ZchatError(code, text, retryable));
  }

  // The session has ended.
  dismissed(error) {
    if (ACTIONS[error.code] === FRESH || (error.retryable && ACTIONS[error.code] !== FINAL)) this.lost();
    else this.end(error);
  }

  take_push(name, epoch, after, upto, blocks) {
    const room = this.rooms.get(name);
    if (!room?.live) return; // of a room that was left
    const messages = [];
    for (const [first, time, user, , bodies] of blocks) {
      const values = decodeBodies(bodies);
      for (let index = Math.max(0, after + 1 - first); index < values.length; index++)
        messages.push({ seq: first + index, time, user, body: values[index] });
    }
    room.reading.receive({ epoch, after, upto, messages, next: 0 });
    room.arrived();
  }

  take_gap(name, epoch, after, upto, reason) {
    const room = this.rooms.get(name);
    if (!room?.live) return;
    room.reading.receive({ epoch, after, upto, reason });
    room.arrived();
  }

  take_state(number, updates, invitations) {
    this.send("seen", [number]); // at once, whatever the application does
    for (const [name, whole, members, people, typing, caughtUp] of updates) {
      const room = this.rooms.get(name);
      if (!room?.live) continue;
      Object.assign(room, { members, typing, caughtUp });
      if (whole) room.people = people && new Map();
      for (const [user, since, types, mark] of people ?? [])
        if (since) room.people.set(user, { since, typing: types, mark });
        else room.people.delete(user);
      this.onState?.(room);
    }
    for (const [name, user, epoch, seq] of invitations)
      if (!this.rooms.has(name)) this.onInvited?.({ name, user, position: [epoch, seq] });
  }

  take_pong(next) {
    this.said = this.now;
    this.pingAfter = next; // until the next ping's answer
  }
}

// The shapes of what a broker sends: the types of the elements after the word. Those after the last are ignored.
const uint = (value) => Number.isInteger(value) && value >= 0;
const text = (value) => typeof value === "string";
const bool = (value) => typeof value === "boolean";
const nil = (value) => value === null;
const or = (one, other) => (value) => one(value) || other(value);
const SHAPES = {
  ok: [uint],
  error: [or(uint, nil), text, text, bool, or(uint, nil)],
  push: [text, uint, uint, uint, Array.isArray],
  gap: [text, uint, uint, uint, text],
  state: [uint, Array.isArray, Array.isArray],
  pong: [uint],
  end: [text, text, bool],
};

// Return a broker's frame, decoded; throws if it breaks the protocol.
export function check(frame) {
  if (!Array.isArray(frame) || !Object.hasOwn(SHAPES, frame[0])) throw new Error("no frame of this protocol");
  SHAPES[frame[0]].forEach((kind, index) => {
    if (frame.length < index + 2 || !kind(frame[index + 1])) throw new Error(`a malformed ${frame[0]}`);
  });
  return frame;
}

/** zchat in a page: rooms over one WebSocket, made again when it is lost. docs/web.md describes it.
 * What goes wrong is an `Error` with a `code`, see `Failure`. */

/** @import * as T from "./types" */

const FIRST_WAIT = 200; // ms; doubled for each further attempt
const LONGEST_WAIT = 10_000;
const GREETING_WITHIN = 10_000;
const TYPING_EVERY = 3_000;
const MAX_COMMAND = 65_536; // bytes
const MAX_SEARCHED = 10; // pages of 200 messages
const FINAL = [1009, 4001, 4002, 4003]; // closed for good

/** @type {Record<string, keyof T.RoomEvents>} */
const EVENTS = { MemberJoined: "joined", MemberLeft: "left", Typing: "typing", ReadMark: "read", Crowd: "crowd" };

/** Return an error. @param {string} code @param {string} text @param {object} [fields] @returns {T.Failure} */
const failure = (code, text, fields) => Object.assign(new Error(text), { code, retryable: false }, fields);

/** Return a value as JSON; half of a surrogate pair, which is no text, becomes U+FFFD. @param {any} frame */
const json = (frame) => JSON.stringify(frame, (id, text) => text?.toWellFormed?.() ?? text);

/** What has listeners. @template {object} Events */
class Emitter {
  /** @type {Set<{ kind: keyof Events, listener: Function }>} */
  #listeners = new Set();

  /** Call a function with each event of a kind. What it throws is shown in the console, and keeps nothing from the others.
   * @template {keyof Events} Kind @param {Kind} kind @param {(value: Events[Kind]) => void} listener
   * @returns {() => void} ends it */
  on(kind, listener) {
    const entry = { kind, listener };
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** @template {keyof Events} Kind @param {Kind} kind @param {Events[Kind]} value @internal */
  emit(kind, value) {
    for (const each of [...this.#listeners]) {
      try {
        if (each.kind === kind) each.listener(value);
      } catch (error) {
        console.error(error);
      }
    }
  }
}

/** @param {number} ms */
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** @param {string} position */
const seqOf = (position) => Number(position.split(":")[1] ?? 0);

/** The WebSocket, and the commands that wait for answers. */
class Connection {
  /** @type {T.State} */
  state = "connecting";
  /** @type {string | null} */
  user = null;
  up = true; // the broker
  ackEvery = 8; // frames of a room: half of those that come without
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<number, T.Call>} */
  #calls = new Map();
  #session = null;
  #timer = 0; // of the next attempt, the greeting or the beat
  /** @type {number | undefined} */ #retry; // in so many ms, says the gateway's farewell
  /** @type {T.Failure | undefined} */ #refusal; // the latest that answers no command
  #attempts = 0;
  #number = 0; // the greeting's is 0
  #options;
  #take;

  /** @param {T.Options} options @param {(frame: T.Frame) => void} take */
  constructor(options, take) {
    this.#options = options;
    this.#take = take;
    addEventListener("online", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
    this.#connect();
  }

  /** Ask, and ask again over the next connection if this one is lost. @param {T.Frame} command
   * @param {Room} [room] must be joined first @returns {Promise<any>} the answer */
  call(command, room) {
    return new Promise((resolve, reject) => {
      const id = ++this.#number;
      const text = json({ id, ...command });
      if (this.state === "closed") reject(failure("closed", "the client is closed"));
      else if (new TextEncoder().encode(text).length > MAX_COMMAND) reject(failure("message_too_large", "it is too large"));
      else this.#calls.set(id, { text, room, once: command.op === "send", resolve, reject });
      this.flush();
    });
  }

  /** Say what has no answer; without a connection it is dropped. @param {T.Frame} command */
  tell(command) {
    if (this.state === "open") this.#socket?.send(json(command));
  }

  /** Send what can be sent. */
  flush() {
    if (this.state !== "open") return;
    for (const call of this.#calls.values()) {
      if (call.written || call.room?.joined === false || (call.once && !this.up)) continue;
      call.written = true;
      this.#socket?.send(call.text);
    }
  }

  /** Have commands fail. @param {T.Failure} error @param {(call: T.Call) => unknown} [which] those, all by default */
  fail(error, which = () => true) {
    for (const [id, call] of [...this.#calls]) if (which(call) && this.#calls.delete(id)) call.reject(error);
  }

  /** End for good. @param {T.Failure} error of what waits */
  close(error) {
    removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
    this.#become("closed");
    this.fail(error);
  }

  /** @param {T.State} state */
  #become(state) {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    this.#take({ op: "state" });
  }

  #wake = () => {
    if (!this.#socket && document.visibilityState !== "hidden") this.#connect();
  };

  #connect() {
    const socket = new WebSocket(this.#options.url ?? new URL("ws", location.href.replace(/^http/, "ws")));
    let silence = GREETING_WITHIN;
    const heard = () => this.#wait(silence, () => this.#lost());
    this.#socket = socket;
    heard();
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#lost(code, reason);
    socket.onopen = () => this.#greet(socket).catch(() => this.#socket === socket && this.#lost());
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      const frame = JSON.parse(data);
      if (frame.beat) silence = 1.5 * frame.beat;
      heard();
      this.#received(frame);
    };
  }

  /** Say who the user is; without a token that is to be had, the connection is made again later. @param {WebSocket} socket */
  async #greet(socket) {
    const { user, token: given } = this.#options;
    const token = typeof given === "function" ? await given() : given;
    socket.send(json({ op: "hello", id: 0, version: 1, user, token, session: this.#session }));
  }

  /** @param {number} ms @param {() => void} then */
  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  /** @param {number} code @param {string} reason */
  #lost(code = 0, reason = "") {
    this.#socket?.close();
    this.#socket = null;
    if (FINAL.includes(code)) {
      const error = this.#refusal ?? failure("not_let_in", reason);
      this.close(error);
      return this.#take({ op: "error", error });
    }
    for (const call of this.#calls.values()) {
      call.doubtful ||= call.written;
      call.written = false;
    }
    const doubled = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#attempts++);
    const wait = this.#retry ?? (code === 4029 ? LONGEST_WAIT : doubled * (0.5 + Math.random() / 2));
    this.#retry = undefined;
    this.#wait(wait, () => this.#connect());
    this.#become("lost");
  }

  /** @param {T.Frame} frame */
  #received(frame) {
    const { op, id, code, text, retryable, after, until } = frame;
    if (op === "ok" && id === 0) this.#greeted(frame);
    else if (op === "ok" || op === "error") {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      const error = failure(code, text, { retryable, after, until });
      if (op === "ok") call?.resolve(frame);
      else if (call) call.reject(error);
      else {
        this.#refusal = error;
        if (this.state === "open") this.#take({ op, error });
      }
    } else if (op === "bye") this.#retry = frame.retry;
    else {
      if (op === "link") this.up = frame.up;
      this.flush();
      this.#take(frame);
    }
  }

  /** @param {T.Frame} welcome */
  #greeted({ user, session, resumed, window }) {
    this.user = user;
    this.ackEvery = Math.ceil(window / 2);
    this.#session = session;
    this.#attempts = 0;
    this.#refusal = undefined;
    this.up = true;
    if (!resumed) this.fail(failure("forgotten", ""), (call) => call.once && call.doubtful);
    this.#become("open");
    this.flush();
  }
}

/** A connection to `zchat web`, made again whenever it is lost, until `close`.
 * Its events are those of `ClientEvents`. What is asked while there is no connection waits for the next one.
 * @extends {Emitter<T.ClientEvents>} */
export class Client extends Emitter {
  /** @type {Set<Room>} */
  #rooms = new Set();
  /** @type {Map<string, Promise<Room>>} */
  #joins = new Map();
  #connection;

  /** Connect. @param {T.Options} [options] */
  constructor(options = {}) {
    super();
    this.#connection = new Connection(options, (frame) => this.#take(frame));
  }

  /** Whether there is a connection. */
  get state() {
    return this.#connection.state;
  }

  /** The user's name as the gateway has it; null before the first greeting is answered, and for a page that watches. */
  get user() {
    return this.#connection.user;
  }

  /** Join a room, and again over each later connection. A room that is joined already is the same object again.
   * @param {string} name in any case; `@` and a user's name for a direct room @param {T.JoinOptions} [options]
   * @returns {Promise<Room>} once it is joined
   * @throws {T.Failure} the room can't be joined: `not_allowed`, `banned`, `no_such_room`, `bad_name`, `limit_reached` … */
  join(name, options = {}) {
    const key = name.toLowerCase();
    let joining = this.#joins.get(key);
    if (!joining) {
      const room = new Room(this.#connection, name, options, () => {
        this.#joins.delete(key);
        this.#rooms.delete(room);
      });
      joining = room.enter().then(async () => {
        for (const each of this.#rooms) if (each.name === room.name) {
          this.#joins.delete(key); // it is joined under another spelling
          await each.changed(); // the gateway follows it once, as the latest join says
          return each;
        }
        this.#rooms.add(room);
        return room;
      });
      this.#joins.set(key, joining);
      joining.catch(() => this.#joins.delete(key));
    }
    return joining;
  }

  /** List the rooms that the user may see, by name. @returns {Promise<T.RoomInfo[]>} */
  rooms() {
    return this.#list("rooms", "name");
  }

  /** List who is in a room, by name. @param {string} room @returns {Promise<T.Member[]>} */
  members(room) {
    return this.#list("members", "user", room);
  }

  /** End the connection for good; what waits fails with the code `closed`. */
  close() {
    this.#connection.close(failure("closed", "the client was closed"));
  }

  /** @param {string} op @param {string} name @param {string} [room] */
  async #list(op, name, room) {
    const found = [];
    for (let more = true; more; ) {
      try {
        const answer = await this.#connection.call({ op, room, after: found.at(-1)?.[name] });
        found.push(...answer[op]);
        more = answer.more;
      } catch (/** @type {any} */ error) {
        if (error.code !== "too_fast") throw error; // a long list takes more commands than come at once
        await sleep(error.after);
      }
    }
    return found;
  }

  /** @param {T.Frame} frame */
  #take(frame) {
    const { op, room } = frame;
    if (op === "state") {
      for (const each of this.#rooms) each.changed();
      this.emit(op, this.state);
    } else if (op === "link") this.emit(op, frame.up);
    else if (op === "error") this.emit(op, frame.error);
    else if (op === "invited") this.emit(op, frame);
    else for (const each of this.#rooms) if (each.name === room) each.take(frame);
  }
}

/** A room that was joined.
 * Its events are those of `RoomEvents`. Each message comes once and in the order of the log, over lost connections too.
 * @extends {Emitter<T.RoomEvents>} */
export class Room extends Emitter {
  /** Up to where the room is read: what `after` of a later `join` takes. */
  position = "";
  /** The newest messages when it was joined, as many as `history` asked for. @type {T.Message[]} */
  recent = [];
  /** True if there are older ones. */
  more = false;
  /** Who types, but the user. @type {Set<string>} */
  typing = new Set();
  /** How many users are there. */
  members = 0;
  /** True if it is joined over the present connection. */
  joined = false;
  #connection;
  #options;
  #forget;
  #entering = false;
  #taken = 0; // frames since the join
  #typed = 0; // when it was shown, in ms
  #marked = 0;
  #answered = 0; // our latest message
  /** @type {T.Failure | undefined} */ #over;
  /** @type {Promise<any>} */ #sending = Promise.resolve();

  /** @param {Connection} connection @param {string} name @param {T.JoinOptions} options @param {() => void} forget @internal */
  constructor(connection, name, options, forget) {
    super();
    /** Its name, as the broker writes it. */
    this.name = name;
    this.#connection = connection;
    this.#options = options;
    this.#forget = forget;
  }

  /** Send a message, after those that were sent before it. It is stored once, however often the connection is lost.
   * @param {any} body what JSON can hold @returns {Promise<{ seq: number, time: Date }>} once it is stored
   * @throws {T.Failure} it was not stored; or, with the code `outcome_unknown`, the gateway that had it is gone, and the log
   * doesn't show whether it was */
  send(body) {
    const sent = this.#sending.then(() => this.#send(body));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  /** Read the log. @param {T.HistoryOptions} [options] @returns {Promise<T.Message[]>} oldest first */
  async history(options) {
    return (await this.#history(options)).rows;
  }

  /** Show the others that the user types; to be called at each key. @param {boolean} [active] false: no more */
  type(active = true) {
    const now = Date.now();
    if (active ? now - this.#typed < TYPING_EVERY : !this.#typed) return;
    this.#typed = active ? now : 0;
    this.#connection.tell({ op: "typing", room: this.name, active });
  }

  /** Mark the room as read; a mark never goes back. @param {number} [seq] up to there; by default all that has come */
  markRead(seq = seqOf(this.position)) {
    if (seq <= this.#marked) return;
    this.#marked = seq;
    if (this.joined) this.#connection.tell({ op: "mark", room: this.name, seq });
  }

  /** Leave the room; what waits to be sent to it fails with the code `not_a_member`. */
  async leave() {
    const left = this.#connection.call({ op: "leave", room: this.name });
    this.#end(failure("not_a_member", "the room was left"));
    await left;
  }

  /** @internal */
  async enter() {
    const { history, watch, create } = this.#options;
    const after = this.position || this.#options.after;
    this.#entering = true;
    try {
      const command = { op: "join", room: this.name, after, history: after ? undefined : history, watch, create };
      const answer = await this.#connection.call(command);
      if (this.#over) return; // it was left: the gateway was told so after the join
      this.name = answer.room;
      if (answer.rows) this.recent = answer.rows.map(this.#message);
      this.more ||= answer.more;
      this.position ||= answer.position;
      this.members = answer.members;
      this.#taken = 0;
      this.joined = true;
    } finally {
      this.#entering = false;
    }
    if (this.#marked) this.#connection.tell({ op: "mark", room: this.name, seq: this.#marked });
    this.#connection.flush();
  }

  /** @internal */
  async changed() {
    this.joined = false;
    this.typing.clear();
    while (!this.joined && !this.#entering && !this.#over && this.#connection.state === "open") {
      try {
        await this.enter();
      } catch (/** @type {any} */ error) {
        if (this.#over) return;
        if (!error.retryable) return this.take({ op: "removed", room: this.name, by: "", reason: error.message, ...error });
        await sleep(error.after ?? 1_000);
      }
    }
  }

  /** @param {any} frame @internal */
  take(frame) {
    const { op, rows = [], code, reason } = frame;
    if (!this.joined && op !== "removed") return; // it comes of a join that another one takes the place of
    if (op === "event") return this.#happened(frame);
    if (op === "removed") this.#end(failure(code, reason || code, frame));
    else if (op === "messages" || op === "gap") {
      this.position = frame.position;
      for (const row of rows) {
        this.typing.delete(row[2]);
        this.emit("message", this.#message(row));
      }
      if (reason === "reset" || reason === "tail_lost") this.#marked = this.#answered = 0; // seqs begin anew
      if (++this.#taken % this.#connection.ackEvery === 0) this.#connection.tell({ op: "ack", room: this.name, taken: this.#taken });
    }
    if (op !== "messages") this.emit(op, frame);
  }

  /** @param {T.Frame} event */
  #happened(event) {
    const { kind, user, active } = event;
    if (kind === "Typing" && user === this.#connection.user) return;
    if (active) this.typing.add(user);
    else if (kind === "Typing" || kind === "MemberLeft") this.typing.delete(user);
    if (kind === "MemberJoined") this.members++;
    if (kind === "MemberLeft") this.members--;
    if (kind === "Crowd") this.members = event.members;
    this.emit(EVENTS[kind], event);
  }

  /** @param {T.Failure} error */
  #end(error) {
    this.#over = error;
    this.joined = false;
    this.#forget();
    this.#connection.fail(error, (call) => call.room === this);
  }

  /** @param {any} body */
  async #send(body) {
    const after = Math.max(seqOf(this.position), this.#answered); // if it is stored, then after this
    const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    for (;;) {
      if (this.#over) throw this.#over;
      try {
        const { seq, time } = await this.#connection.call({ op: "send", room: this.name, body, key }, this);
        this.#typed = 0;
        this.#answered = seq;
        return { seq, time: new Date(time / 1000) };
      } catch (/** @type {any} */ error) {
        if (error.code === "forgotten") return this.#search(body, after);
        if (!error.retryable || error.code === "store_failed") throw error;
        const wait = error.after ?? 1_000;
        this.emit("slowed", { text: error.message, until: Date.now() + wait });
        await sleep(wait);
      }
    }
  }

  /** @param {any} body @param {number} after */
  async #search(body, after) {
    const text = json(body);
    for (let page = 0, more = true; more && page < MAX_SEARCHED; page++) {
      const found = await this.#history({ after, limit: 200 });
      for (const { seq, time, user, body } of found.rows) {
        after = seq;
        if (user === this.#connection.user && json(body) === text) return { seq: (this.#answered = seq), time };
      }
      more = found.more;
    }
    throw failure("outcome_unknown", "it may be stored");
  }

  /** @param {T.HistoryOptions} [options] @returns {Promise<{ rows: T.Message[], more: boolean }>} */
  async #history(options) {
    const { rows, more } = await this.#connection.call({ op: "history", room: this.name, ...options });
    return { rows: rows.map(this.#message), more };
  }

  /** @param {[number, number, string, any, 1?]} row @returns {T.Message} */
  #message = ([seq, time, user, body, coded]) => {
    return { room: this.name, seq, time: new Date(time / 1000), user, body, coded: coded === 1 };
  };
}

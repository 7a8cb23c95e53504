/** What zchat.js finds around itself, in the hands of a test: sockets, a clock, chance, and a page. */

const really = { setTimeout, setImmediate };

export const settled = () => new Promise((done) => really.setImmediate(done));

export class World {
  now = 1_700_000_000_000;
  /** The connections that were begun, oldest first. */
  sockets = [];
  random = 0.5;
  visibility = "visible";
  #timers = new Map();
  #number = 0;
  #listeners = new Map();

  constructor() {
    const world = this;
    class FakeSocket {
      sent = [];
      closed = null;

      constructor(url) {
        this.url = String(url);
        world.sockets.push(this);
      }

      send(text) {
        if (this.closed !== null) throw new Error("the socket is closed");
        this.sent.push(JSON.parse(text));
      }

      close(code = 1005) {
        this.closed ??= code;
      }

      /** Open, and answer the greeting. */
      async welcome(fields = {}) {
        this.onopen();
        await settled();
        const hello = this.sent.shift();
        const answer = { user: "alice", session: "s", resumed: false, window: 16, beat: 20_000, max: 16_384 };
        await this.say({ op: "ok", id: hello.id, ...answer, ...fields });
        return hello;
      }

      async say(...frames) {
        for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
        await settled();
      }

      /** Return the next command, which must be of this kind. */
      next(op) {
        const command = this.sent.shift();
        if (command?.op !== op) throw new Error(`${JSON.stringify(command)} where ${op} was due`);
        return command;
      }

      async answer(op, fields = {}) {
        const command = this.next(op);
        await this.say({ op: "ok", id: command.id, ...fields });
        return command;
      }

      async refuse(op, fields) {
        const command = this.next(op);
        await this.say({ op: "error", id: command.id, text: fields.code, retryable: false, ...fields });
        return command;
      }

      async lose(code = 1006, reason = "") {
        this.closed ??= code;
        this.onclose({ code, reason });
        await settled();
      }
    }
    const listening = {
      addEventListener: (kind, listener) => void this.#listeners.set(kind, listener),
      removeEventListener: (kind) => void this.#listeners.delete(kind),
    };
    globalThis.WebSocket = FakeSocket;
    globalThis.location = { href: "http://chat.example/some/" };
    globalThis.document = {
      ...listening,
      get visibilityState() {
        return world.visibility;
      },
    };
    Object.assign(globalThis, listening);
    globalThis.setTimeout = (then, ms = 0) => (this.#timers.set(++this.#number, { at: this.now + ms, then }), this.#number);
    globalThis.clearTimeout = (number) => void this.#timers.delete(number);
    Date.now = () => this.now;
    Math.random = () => this.random;
  }

  get socket() {
    return this.sockets.at(-1);
  }

  listens(kind) {
    return this.#listeners.has(kind);
  }

  async happens(kind) {
    this.#listeners.get(kind)?.();
    await settled();
  }

  /** Let time pass, and what is due happen at its time. */
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      const [number, next] = [...this.#timers].sort(([, one], [, other]) => one.at - other.at)[0] ?? [0, null];
      if (!next || next.at > until) break;
      this.#timers.delete(number);
      this.now = Math.max(this.now, next.at);
      next.then();
      await settled();
    }
    this.now = until;
  }
}

/** Return rows of a log: seqs from `first`, said by bob unless they say by whom. */
export const rows = (first, ...bodies) => bodies.map((body, index) => [first + index, 1_700_000_000_000_000, "bob", body]);

export const messages = (first, ...bodies) => {
  const found = rows(first, ...bodies);
  return { op: "messages", room: "General", rows: found, position: `7:${first + found.length - 1}` };
};

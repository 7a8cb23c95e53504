/** Pages without a browser: zchat.js does what each line of the input asks for, and a line says what came of it. */

import { createInterface } from "node:readline";

const nothing = () => {};
const listening = { addEventListener: nothing, removeEventListener: nothing };
Object.assign(globalThis, listening, { document: { ...listening, visibilityState: "visible" } });

const HURRY = 0.2; // of the waits that zchat.js makes between attempts, but not of those for an answer
const really = globalThis.setTimeout;
globalThis.setTimeout = (then, ms = 0) => really(then, ms < 10_000 ? ms * HURRY : ms);

/** In a browser each event of a socket is a task of its own, so that promises go on between two of them. */
class Socket extends WebSocket {
  constructor(url) {
    super(url);
    for (const kind of ["open", "message", "close"])
      this.addEventListener(kind, (event) => setImmediate(() => this[`then_${kind}`]?.(event)));
  }
}
for (const kind of ["open", "message", "close"])
  Object.defineProperty(Socket.prototype, `on${kind}`, {
    set(then) {
      this[`then_${kind}`] = then;
    },
  });
globalThis.WebSocket = Socket;

const { Client } = await import("../../../zchat/web/static/zchat.js");

const sleep = (ms) => new Promise((done) => really(done, ms));
const answer = (found) => process.stdout.write(`${JSON.stringify(found)}\n`);

/** @type {Map<number, Page[]>} the pages of each run */
const runs = new Map();

class Page {
  outcomes = [];
  received = [];
  trouble = [];

  constructor({ url, room }, user) {
    this.user = user;
    this.client = new Client({ user, url });
    this.client.on("error", (error) => this.trouble.push(`error ${error.code}: ${error.message}`));
    this.joined = this.enter(room);
  }

  async enter(name) {
    for (;;) {
      try {
        this.room = await this.client.join(name, { after: "start" });
        break;
      } catch (error) {
        if (!error.retryable) throw error;
        await sleep(100);
      }
    }
    this.room.on("message", ({ seq, user, body }) => this.received.push([seq, user, body]));
    this.room.on("gap", (gap) => this.trouble.push(`gap ${gap.reason}`));
    this.room.on("removed", (removed) => this.trouble.push(`removed ${removed.code}`));
  }

  async talk(count, together) {
    await this.joined;
    let sending = [];
    for (let number = 0; number < count; number++) {
      const sent = this.room.send(`${this.user} ${number}`).then(
        ({ seq }) => (this.outcomes[number] = seq),
        (error) => (this.outcomes[number] = error.code ?? String(error)),
      );
      sending.push(sent);
      if (sending.length === together) {
        await Promise.all(sending);
        sending = [];
      }
    }
    await Promise.all(sending);
  }

  async hasRead(upto) {
    while (Number(this.room.position.split(":")[1]) < upto) await sleep(5);
  }
}

const asked = {
  async begin(job) {
    const pages = job.users.map((user) => new Page(job, user));
    runs.set(job.run, pages);
    await Promise.all(pages.map((page) => page.talk(job.count, job.together)));
    return pages.map(({ outcomes }) => outcomes);
  },

  async end({ run, upto }) {
    const pages = runs.get(run);
    await Promise.all(pages.map((page) => page.hasRead(upto)));
    for (const page of pages) page.client.close();
    runs.delete(run);
    return pages.map(({ received, trouble }) => ({ received, trouble }));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  asked[job.op](job).then(
    (found) => answer({ run: job.run, found }),
    (error) => answer({ run: job.run, failed: `${error.code}: ${error.stack}` }),
  );
}
process.exit();

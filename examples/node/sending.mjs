// What one room is sent: its messages become numbered blocks, each of which is stored once (docs/protocol.md, "Sending").

import { Encoder } from "@msgpack/msgpack";
import { joinBodies, MAX_NESTED, walk } from "./bodies.mjs";

const IN_FLIGHT = 4; // blocks
const plain = new Encoder();
const wide = new Encoder({ useBigInt64: true });
const AGAIN = 500; // milliseconds until blocks that the broker had no place for are sent again

// Return a body packed; one with a bigint in it, which the usual encoder refuses, by one that takes large numbers for floats.
function pack(body) {
  if (typeof body === "string") return plain.encode(body);
  try {
    return plain.encode(body);
  } catch {
    return wide.encode(widened(body));
  }
}

function widened(value) {
  if (Number.isSafeInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(widened);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, widened(each)]));
  return value;
}

export class Sending {
  constructor(limits) {
    this.limits = limits; // of the welcome: maxMessage, maxBlockBytes, maxBlockMessages
    this.waiting = []; // messages
    this.flight = []; // blocks without a final answer, in order
    this.again = []; // those of them that are to be sent again, under the numbers that they have
    this.number = 1; // of the next new block
    this.due = Infinity; // the lowest number that the broker has said it waits for
    this.refusing = false; // a block came back: nothing is sent until all in flight are answered
    this.resumeAt = 0;
    this.open = true; // the join of this connection is answered
  }

  get pending() {
    return this.waiting.length + this.flight.length;
  }

  // Take a message; the promise is kept with its seq and time once it is stored.
  add(body) {
    const bytes = pack(body);
    const tally = { nested: 0 };
    if (typeof body !== "string") walk(bytes, 0, tally);
    if (bytes.length > this.limits.maxMessage) throw new RangeError(`a message of ${bytes.length} bytes is too large`);
    return new Promise((resolve, reject) => this.waiting.push({ bytes, nested: tally.nested, resolve, reject }));
  }

  // Return the next block to be sent now, null if there is none.
  next(now) {
    if (!this.open || this.refusing || now < this.resumeAt) return null;
    let block = this.again.shift();
    if (!block) {
      if (!this.waiting.length || this.flight.length >= IN_FLIGHT) return null;
      block = this.make();
      this.flight.push(block);
    }
    block.out = true;
    block.tries += 1;
    return block;
  }

  make() {
    const { maxBlockBytes, maxBlockMessages } = this.limits;
    let size = 0, nested = 0, count = 0;
    for (const message of this.waiting) {
      size += message.bytes.length;
      nested += message.nested; // what is bounded is the sum over a block
      if (count && (count === maxBlockMessages || size > maxBlockBytes || nested > MAX_NESTED)) break;
      count += 1;
    }
    const messages = this.waiting.splice(0, count);
    const bodies = joinBodies(messages.map((each) => each.bytes));
    return { number: this.number++, bodies, messages, tries: 0, out: false, free: false }; // free: it isn't in the log
  }

  // Take the answer to a block: its first seq, its time.
  stored(block, first, time) {
    this.flight.splice(this.flight.indexOf(block), 1);
    block.messages.forEach((message, index) => message.resolve({ seq: first + index, time }));
    this.settle();
  }

  refused(block, error, now) {
    const { code, retryable, detail } = error;
    const fresh = block.tries === 1; // never sent before: what is refused is not stored
    block.out = false;
    this.refusing = true;
    if (retryable) {
      // The same bytes under the same number; a broker that finds it too fast says when it takes them.
      this.resumeAt = Math.max(this.resumeAt, now + (code === "busy" && detail !== null ? detail : AGAIN));
    } else if ((code === "out_of_order" && detail < block.number) || (code === "forgotten" && fresh)) {
      block.free = true;
      this.due = Math.min(this.due, code === "forgotten" ? 1 : detail); // it isn't in this log
    } else {
      this.flight.splice(this.flight.indexOf(block), 1);
      if (code === "forgotten") this.due = 1;
      else if (fresh && code !== "out_of_order") this.due = Math.min(this.due, block.number); // uses up no number
      if (code === "out_of_order") this.number = Math.max(this.number, detail); // taken long ago
      error.unknown = !fresh || code === "out_of_order"; // there is no way to know whether it is stored
      for (const message of block.messages) message.reject(error);
    }
    this.settle();
  }

  // Once nothing is out any more, go back: what isn't stored is numbered from what is due, and sent again in its order.
  // If the first of it may be stored, all is sent again as it was: what comes after it then comes back once more.
  settle() {
    if (!this.refusing || this.flight.some((block) => block.out)) return;
    this.refusing = false;
    if (this.due < Infinity && (!this.flight.length || this.flight[0].free)) {
      this.number = this.due;
      for (const block of this.flight) {
        block.number = this.number++;
        block.tries = 0; // under this number it was never sent
      }
    }
    this.due = Infinity;
    for (const block of this.flight) block.free = false;
    this.again = [...this.flight];
  }

  // The connection is lost: what is in flight may or may not be stored.
  lost() {
    this.open = this.refusing = false;
    this.due = Infinity;
    this.resumeAt = 0;
    for (const block of this.flight) block.out = block.free = false;
  }

  // The room is joined again: the same bytes under the same numbers.
  reopen() {
    this.open = true;
    this.again = [...this.flight];
  }

  fail(error) {
    for (const block of this.flight.splice(0))
      for (const message of block.messages) message.reject(Object.assign(new Error(error.message), error, { unknown: true }));
    for (const message of this.waiting.splice(0)) message.reject(error);
  }
}

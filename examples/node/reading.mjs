// How far one room is read: received from the broker, and taken by the application (docs/protocol.md, "Positions").

const MAX_OWN = 1_000;

export class Reading {
  // `echo`: own messages come like those of others, and move nothing by themselves.
  constructor(echo) {
    this.echo = echo;
    this.received = [0, 0]; // the received position: where the room is joined again, with what is held
    this.position = [0, 0]; // the taken position: the application's
    this.upto = 0; // where the next notification begins
    this.notified = 0; // where the last one ended
    this.queue = []; // notifications that are not taken to their end
    this.count = 0; // notifications received since the first join
    this.taken = 0; // those of them that are taken
    this.base = 0; // those of them that were taken when the room was last joined: credit counts from there
    this.credited = 0;
    this.every = 1; // notifications for which credit is returned together
    this.gapAfter = -1; // the gap that a join began with comes after so many notifications
    this.own = []; // ranges of own messages that are not taken yet: [epoch, first, last]
  }

  // The answer to a join: for the first time, or after what was received.
  joined(epoch, seq, window, gap, again) {
    this.every = Math.max(1, Math.floor(window / 2));
    this.own = []; // they may be of a log that is no more
    if (again) {
      if (!gap && this.notified < this.received[1]) this.own.push([this.received[0], this.notified + 1, this.received[1]]);
    } else {
      this.received = this.position = [epoch, seq];
      this.notified = seq;
    }
    this.upto = this.received[1];
    if (gap) this.gapAfter = this.count;
    else if (this.gapAfter === this.count) this.gapAfter = -1; // the one that an earlier join began with never came
    this.advance();
  }

  // Return how many notifications are held as a join is made again: received, and not taken.
  held(window) {
    const held = Math.min(window, this.count - this.taken);
    this.base = this.credited = this.count - held;
    return held;
  }

  // Take a notification; throws if it isn't the next one.
  receive(notification) {
    if (notification.after !== this.upto) throw new Error(`a notification after ${notification.after}, not ${this.upto}`);
    this.count += 1;
    this.upto = this.notified = notification.upto;
    this.received = [notification.epoch, notification.upto];
    this.queue.push(notification);
    this.advance();
  }

  // Own messages are stored: remember where, for they move the positions as soon as they adjoin.
  stored(epoch, first, last) {
    if (this.echo || this.own.length >= MAX_OWN) return;
    const at = this.own.findLastIndex((range) => range[1] < first) + 1; // a late answer may come after later ones
    this.own.splice(at, 0, [epoch, first, last]);
    this.advance();
  }

  // The application has taken the message `seq` of the first notification in the queue.
  took(seq) {
    this.position = [this.queue[0].epoch, seq];
  }

  // It has taken the whole notification.
  finish() {
    const { epoch, upto, reason } = this.queue.shift();
    this.taken += 1;
    if (upto > this.position[1] || (reason && reason !== "trimmed")) this.position = [epoch, upto]; // goes back at a gap only
    this.advance();
  }

  // Return the credit to be sent now, 0 if none is due.
  credit() {
    if (this.taken - this.credited < this.every) return 0;
    this.credited = this.taken;
    return this.taken - this.base;
  }

  advance() {
    if (this.count > this.gapAfter) // else a gap is yet to come, maybe of another log
      for (const [epoch, first, last] of this.own)
        if (first <= this.received[1] + 1 && last > this.received[1]) this.received = [epoch, last];
    if (this.taken > this.gapAfter)
      while (this.own.length && this.own[0][1] <= this.position[1] + 1) {
        const [epoch, , last] = this.own.shift();
        if (last > this.position[1]) this.position = [epoch, last];
      }
  }
}

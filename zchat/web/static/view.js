/** A room that is followed: its newest messages, what is unread, who is there, and what waits to be sent. */

import { drawPeople, drawRooms, drawTyping } from "./lists.js";
import { notify } from "./notify.js";
import { infoOf, later, page, viewOf } from "./page.js";
import { KEEP, atNewest, drawEnd, drawFresh, drawSeen, following, held, newest } from "./log.js";
import { $, make, mentions, message, told, until } from "./text.js";

const again = (reason) => reason === "reset" || reason === "tail_lost"; // seqs begin anew

/** Keep the newest entries alone. */
const trim = (entries) => entries.length > 2 * KEEP && entries.splice(0, KEEP);

export class View {
  newest;
  fresh = []; // not drawn yet
  unread;
  unreadFrom; // the first seq that is unread
  mentioned = false;
  draft = "";
  waiting = new Set(); // rows of what is not stored yet, or was refused
  people = new Map(); // how far each has read, by name
  ended = ""; // why the room is over for this user

  /** @param {import("./zchat.js").Room} room @param {number} least how many are unread */
  constructor(room, least) {
    const before = viewOf(room.name);
    this.room = room;
    this.newest = [...room.recent];
    this.unread = Math.max(least, infoOf(room.name)?.unread ?? 0);
    this.unreadFrom = this.unread ? this.last - this.unread + 1 : Infinity;
    if (before) Object.assign(this, { draft: before.draft, waiting: before.waiting });
    page.views.set(room.name.toLowerCase(), this);

    room.on("message", (message) => this.#came(message));
    room.on("gap", ({ after, upto, reason }) => {
      if (again(reason)) this.newest = [];
      const note = again(reason) ? "The log begins anew here" : `Messages ${after + 1} to ${upto} can’t be had (${reason})`;
      this.#came({ note, seq: again(reason) ? 0 : upto, time: new Date(), user: "" });
    });
    room.on("joined", ({ user }) => {
      this.people.set(user, this.people.get(user) ?? 0);
      later(drawPeople);
    });
    room.on("left", ({ user }) => {
      this.people.delete(user);
      later(drawPeople);
    });
    room.on("read", ({ user, seq }) => {
      if (user === page.client.user && this !== page.view && seq >= this.last) this.read();
      if (this.people.has(user)) this.people.set(user, seq);
      later(drawSeen);
    });
    room.on("typing", () => later(drawTyping));
    room.on("crowd", () => later(drawPeople));
    room.on("slowed", ({ text, until: at }) => {
      for (const row of this.#unsent) row.lastChild.textContent = `${text} – sent at ${until(at / 1000)}`;
    });
    room.on("removed", ({ code, reason, by, until: end }) => {
      const what = code === "kicked" ? "put you out of" : "banned you from";
      const details = (end ? ` until ${until(end)}` : "") + (reason ? `: ${reason}` : "");
      this.ended = by ? `${by} has ${what} ${room.name}${details}` : told({ message: reason || code, until: end });
      if (this === page.view) drawEnd();
    });
  }

  get direct() {
    return this.room.name.startsWith("@");
  }

  get last() {
    return this.newest.at(-1)?.seq ?? 0;
  }

  /** Ask who is there. */
  async refresh() {
    const found = await page.client.members(this.room.name).catch(() => []); // one may not be allowed to see them
    this.people.clear();
    for (const { user, mark } of found) this.people.set(user, mark);
    later(drawPeople);
    later(drawSeen);
  }

  /** Send a text; it is shown as waiting until it is stored. @param {string} words */
  async write(words) {
    const { room } = this;
    const row = message({ user: page.client.user, time: new Date(), body: words }, true);
    row.classList.add("own");
    row.append(make("div", "note"));
    row.dataset.text = words;
    this.waiting.add(row);
    setTimeout(() => held(() => row.classList.add("waits")), 300); // what is stored at once never looks as if it waited
    if (this === page.view) {
      $("waiting").append(row);
      newest();
    }
    try {
      const { seq } = await room.send(words);
      if (this.last >= seq) this.#drop(row);
      else row.dataset.seq = String(seq);
    } catch (error) {
      held(() => this.#failed(row, error));
    }
  }

  #drop(row) {
    row.remove();
    this.waiting.delete(row);
  }

  get #unsent() {
    return [...this.waiting].filter((each) => !each.matches(".failed"));
  }

  /** Show why a text was not stored, and ask what to do. */
  #failed(row, error) {
    const unknown = error.code === "outcome_unknown";
    const retry = make("button", "", "Send again");
    const drop = make("button", "", unknown ? "Leave it" : "Discard");
    retry.onclick = () => (this.#drop(row), viewOf(this.room.name).write(row.dataset.text));
    drop.onclick = () => this.#drop(row);
    row.classList.add("failed");
    row.lastChild.setAttribute("role", "alert");
    const lost = "The connection was lost, and nobody knows whether this was stored. Look above, then choose.";
    row.lastChild.replaceChildren(unknown ? lost : told(error), make("div", "", retry, drop));
  }

  /** Remove the row of a text that is among the messages now. */
  #stored({ seq, body }) {
    const rows = this.#unsent;
    const known = rows.find((each) => each.dataset.seq === String(seq));
    const row = known ?? rows.find((each) => !each.dataset.seq && each.dataset.text === body);
    if (row) this.#drop(row);
  }

  /** Count nothing as unread, if the room isn't shown or its newest message is seen. */
  read() {
    if (this === page.view && !atNewest()) return;
    this.unread = 0;
    this.unreadFrom = Infinity;
    this.mentioned = false;
    if (this === page.view) this.room.markRead();
    later(drawRooms);
  }

  #came(entry) {
    this.newest.push(entry);
    trim(this.newest);
    const shown = this === page.view;
    if (shown) {
      this.fresh.push(entry);
      trim(this.fresh);
      later(drawFresh);
    }
    if (entry.note) return;
    if (entry.user === page.client.user) return this.#stored(entry);
    const seen = shown && !document.hidden;
    if (!(seen && this.unread === 0 && following())) {
      if (!this.unread++) this.unreadFrom = entry.seq;
      later(drawRooms);
    }
    if (!seen && (this.direct || mentions(entry, page.client.user))) {
      this.mentioned = true;
      notify(entry);
    }
  }
}

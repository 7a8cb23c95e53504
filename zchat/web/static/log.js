/** The messages on the screen: a window of a room's log, which follows the newest one unless one has scrolled away. */

import { drawPeople, drawRooms, drawTyping } from "./lists.js";
import { later, page, place } from "./page.js";
import { $, avatar, day, make, mentions, message, name } from "./text.js";

export const KEEP = 500; // rows; others come again when one scrolls to them
export const PART = 50; // messages asked for at a time
const TOGETHER = 5 * 60_000; // ms between messages of one user that are shown as one group
const AT_END = 40; // px
const NEAR = 600; // px from an end of the window at which more is asked for

const log = $("log");
const text = $("text");
const rows = []; // of { entry, nodes }, the last of which is the message
let whole = true; // whether the window reaches to the newest message
let newFrom = Infinity; // the first seq after what was read: a line stands above it
let away = false; // whether one has scrolled away from the newest message
let loading = false; // whether more is asked for
let height = 0; // of the log, when it was last seen

const below = () => log.scrollHeight - log.scrollTop - log.clientHeight;
const atEnd = () => below() < AT_END;
const toEnd = () => (log.scrollTop = log.scrollHeight);
const first = () => rows[0]?.entry.seq ?? Infinity;
const last = () => rows.at(-1)?.entry.seq ?? 0;

/** Return whether the newest message is seen. */
export const atNewest = () => !document.hidden && whole && atEnd();

/** Return whether the newest message will be seen once it is drawn. */
export const following = () => whole && !away;

/** Show a room in place of another. @param {import("./view.js").View} next */
export function show(next) {
  const { room } = next;
  if (page.view !== next) newFrom = next.unreadFrom;
  page.view = next;
  next.fresh = [];
  $("waiting").replaceChildren(...next.waiting);
  const called = room.name.replace(/^@/, "");
  $("title").replaceChildren(next.direct ? avatar(called) : make("i", "", "#"), name(called));
  text.placeholder = `Message ${next.direct ? "" : "#"}${called}`;
  text.value = next.draft;
  history.replaceState(null, "", place(room.name));
  refill(next.newest);
  drawEnd();
  later(drawRooms);
  later(drawPeople);
  next.refresh();
  if (matchMedia("(hover: hover)").matches) text.focus(); // elsewhere a keyboard would cover the half of it
}

/** Show the newest messages, however far from them the window is. */
export function newest() {
  if (!page.view) return;
  newFrom = Infinity;
  refill(whole ? null : page.view.newest.slice(-KEEP));
}

/** Show other messages, or none anew, from the newest one up. */
function refill(entries) {
  whole = true;
  if (entries) reset(entries);
  toEnd();
  away = false;
  page.view.read();
  drawAround();
}

/** Stay at the newest message while something else changes its place. @param {() => void} change */
export function held(change) {
  change();
  if (page.view && !away) toEnd();
}

/** Change what is above the messages that are seen, which stay in their place. */
function above(change) {
  const { scrollTop, scrollHeight } = log;
  change();
  log.scrollTop = scrollTop + log.scrollHeight - scrollHeight;
}

export function drawFresh() {
  const { view } = page;
  if (!view?.fresh.length) return;
  const fresh = view.fresh;
  view.fresh = [];
  const own = fresh.some((each) => each.user === page.client.user);
  if (whole && (atEnd() || own)) {
    if (newFrom === Infinity && view.unread) newFrom = view.unreadFrom;
    if (fresh.length >= KEEP || fresh.some((each) => each.seq === 0)) reset(fresh.slice(-KEEP));
    else append(fresh);
    cutTop();
    toEnd();
    view.read();
  } else if (whole) {
    append(fresh.slice(0, 2 * KEEP - rows.length));
    whole = last() === fresh.at(-1).seq;
  }
  drawTyping();
  drawAround();
}

/** Draw what stands around the messages. */
function drawAround() {
  const { unread, newest } = page.view;
  $("start").hidden = first() > 1 && newest.length;
  $("start").textContent = newest.length ? "This is where it begins." : "Nobody has written here yet.";
  $("newest").hidden = whole && atEnd();
  $("newest").firstChild.textContent = unread ? `${unread} new` : "Newest";
  drawSeen();
}

/** Draw how far the others have read. */
export function drawSeen() {
  const places = new Map();
  for (const [user, mark] of [...(page.view?.people ?? [])].slice(0, 50)) {
    const row = rows.findLast(({ entry }) => entry.seq <= mark);
    if (!row || user === page.client.user || row.entry.user === user || (row === rows.at(-1) && !whole)) continue;
    places.set(row, [...(places.get(row) ?? []), user]);
  }
  for (const old of log.querySelectorAll(".seen")) old.remove();
  for (const [{ nodes }, users] of places) {
    const words = `Seen by ${users.join(", ")}`;
    const seen = make("div", "seen", make("span", "hidden", words), ...users.slice(0, 4).map(avatar));
    seen.title = words;
    if (users.length > 4) seen.append(`+${users.length - 4}`);
    nodes.at(-1).append(seen);
  }
}

/** Draw why the room is over for the user, in place of the form to write with. */
export function drawEnd() {
  const { ended } = page.view;
  $("notice").hidden = !ended;
  $("notice").firstChild.textContent = ended;
  $("compose").hidden = ended || page.client.user === null;
  drawTyping();
}

function reset(entries) {
  remove(rows.splice(0));
  append(entries);
}

function append(entries) {
  const added = rowsOf(entries, rows.at(-1)?.entry);
  rows.push(...added);
  $("rows").append(...nodesOf(added));
}

function prepend(entries) {
  const added = rowsOf(entries);
  rows.unshift(...added);
  if (rows.length > added.length) redo(added.length);
  $("rows").prepend(...nodesOf(added));
}

/** Leave out the oldest rows that are too many. */
function cutTop() {
  if (rows.length <= KEEP) return;
  remove(rows.splice(0, rows.length - KEEP));
  redo(0);
}

/** Make a row anew, as another one stands above it now. */
function redo(index) {
  const old = rows[index];
  rows[index] = rowOf(old.entry, rows[index - 1]?.entry);
  old.nodes[0].before(...rows[index].nodes);
  remove([old]);
}

function remove(gone) {
  for (const node of nodesOf(gone)) node.remove();
}

const nodesOf = (some) => some.flatMap(({ nodes }) => nodes);

function rowsOf(entries, before = null) {
  return entries.map((entry) => {
    const row = rowOf(entry, before);
    before = entry;
    return row;
  });
}

function rowOf(entry, before) {
  const { seq, time: at, user, note } = entry;
  const nodes = [];
  if (at.toDateString() !== before?.time.toDateString()) nodes.push(make("div", "day", day(at)));
  if (before && before.seq < newFrom && newFrom <= seq) nodes.push(make("div", "day new", "New"));
  const alone = nodes.length || before.note || before.user !== user || at - before.time > TOGETHER;
  const row = note ? make("div", "note", note) : message(entry, alone);
  row.dataset.seq = String(seq);
  if (user === page.client.user) row.classList.add("own");
  else if (mentions(entry, page.client.user)) row.classList.add("mention");
  nodes.push(row);
  return { entry, nodes };
}

log.onscroll = async () => {
  const { view } = page;
  if (!view || height !== log.clientHeight) return; // it was given another size, after which it stays at its end
  away = !atEnd();
  if (!away) view.read();
  drawAround();
  const up = log.scrollTop < NEAR && first() > 1 && rows.length;
  const down = !whole && below() < NEAR;
  if (loading || !(up || down) || page.client.state !== "open") return;
  loading = true;
  log.ariaBusy = "true"; // what comes is not new
  try {
    const found = await view.room.history({ ...(up ? { before: first() } : { after: last() }), limit: PART });
    if (view !== page.view) return;
    if (up) {
      above(() => prepend(found));
      whole &&= rows.length <= KEEP;
      remove(rows.splice(KEEP));
    } else {
      append(found);
      above(cutTop);
      whole = last() >= view.last;
    }
    drawAround();
  } finally {
    loading = false;
    log.ariaBusy = "false";
  }
};

new ResizeObserver(() => held(() => (height = log.clientHeight))).observe(log);
$("newest").onclick = newest;

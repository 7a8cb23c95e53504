/** The lists beside the messages: rooms with what is unread, people, and who types. */

import { infoOf, later, page, place, viewOf } from "./page.js";
import { $, avatar, make, name, plain } from "./text.js";

const MOST_PEOPLE = 300;

/** Put links into a list; the one that has the focus keeps it. */
function fill(id, items) {
  const list = $(id);
  const focused = list.contains(document.activeElement) && /** @type {any} */ (document.activeElement).hash;
  list.replaceChildren(...items.map((each) => make("li", "", each)));
  if (focused) items.find((each) => each.hash === focused)?.focus();
}

/** Return the link to a room, or to the direct room of a user. */
function link(to, ...more) {
  const shown = to.replace(/^@/, "");
  const made = make("a", "", to === shown ? make("i", "", "#") : avatar(shown), name(shown), ...more);
  made.href = new URL(place(to), location.href).href;
  made.title = plain(shown);
  return made;
}

/** @param {{ name: string, unread?: number | null }} room that is listed, or joined and not listed yet */
function roomLink({ name: room, unread }) {
  const known = viewOf(room);
  const count = known ? known.unread : unread;
  const made = link(room);
  if (known && known === page.view) made.ariaCurrent = "page";
  if (count) {
    const loud = known?.mentioned || room.startsWith("@");
    made.className = "has";
    made.append(make("span", loud ? "count loud" : "count", count > 99 ? "99+" : count, make("span", "hidden", " unread")));
  }
  return made;
}

/** Return the room that is looked for. */
export const typed = () => $("find").value.trim().replace(/^#/, "");

export function drawRooms() {
  const wanted = typed().toLowerCase();
  const unlisted = [...page.views.values()].map(({ room }) => room).filter(({ name }) => !infoOf(name));
  const all = [...page.rooms, ...unlisted].sort((one, other) => one.name.localeCompare(other.name));
  const found = all.filter((each) => each.name.toLowerCase().includes(wanted));
  const direct = found.filter((each) => each.name.startsWith("@"));
  const rooms = found.filter((each) => !direct.includes(each));
  const start = wanted && !infoOf(wanted) && !viewOf(wanted) ? [link(typed(), make("small", "", "start"))] : [];
  fill("found", start);
  fill("roomlist", rooms.map(roomLink));
  fill("directlist", direct.map(roomLink));
  $("h-rooms").hidden = !rooms.length;
  $("h-direct").hidden = !direct.length;
  const unread = [...page.views.values()].reduce((sum, each) => sum + each.unread, 0);
  document.title = (unread ? `(${unread}) ` : "") + plain(page.view?.room.name ?? "") + " – zchat";
  $("menu").classList.toggle("has", unread > (page.view?.unread ?? 0));
}

export function drawPeople() {
  if (!page.view) return;
  const { room, people } = page.view;
  const count = Math.max(room.members, people.size);
  $("count").textContent = count;
  $("people").ariaLabel = `${count} here`;
  const sorted = [...people.keys()].sort((one, other) => one.localeCompare(other)).slice(0, MOST_PEOPLE);
  const items = sorted.map((user) => {
    const made = link(`@${user}`);
    if (user === page.client.user) {
      made.removeAttribute("href");
      made.append(make("small", "", "you"));
    }
    return made;
  });
  if (count > sorted.length) items.push(make("small", "", `and ${count - sorted.length} more`));
  fill("memberlist", items);
}

export function drawTyping() {
  const { view } = page;
  const others = view && !view.ended ? [...view.room.typing] : [];
  const who = new Intl.ListFormat("en").format(others);
  $("typing").textContent = who && `${who} ${others[1] ? "are" : "is"} typing …`;
}

export async function refreshRooms() {
  if (page.client.state !== "open") return;
  page.rooms = await page.client.rooms();
  for (const { name, unread } of page.rooms) {
    const known = viewOf(name);
    if (known && known !== page.view && unread === 0) known.unread = 0; // it was read in another page
  }
  later(drawRooms);
}

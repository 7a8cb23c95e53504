/** The page: coming in, going from room to room, and what is typed. */

import { drawRooms, drawTyping, refreshRooms, typed } from "./lists.js";
import { drawBell, notify } from "./notify.js";
import { infoOf, later, page, place, viewOf } from "./page.js";
import { PART, newest, show } from "./log.js";
import { $, clock, told } from "./text.js";
import { View } from "./view.js";
import { Client } from "./zchat.js";

const text = $("text");
const POLL = 15_000; // ms until the list of rooms is asked for again
const MOST_ROOMS = 20; // joined unasked, of those that one has read before

const BUTTONS = { rooms: "menu", members: "people" }; // of the panels, where these are over the messages

let entering = ""; // the room that one wants to see
let trouble = ""; // why nothing can be sent for now

/** Return the room that the address names, "" if none. */
function wanted() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

// A room

async function enter(room) {
  open("");
  entering = room;
  let view = page.view;
  let refused = "";
  try {
    view = await follow(room);
  } catch (error) {
    refused = told(error);
  }
  if (entering !== room) return; // one wants to see another by now
  if (view) show(view);
  say(refused || trouble);
}

const join = (name) => page.client.join(name, { history: PART, watch: page.client.user === null });

async function follow(name, unread = 0) {
  const room = await join(name);
  const known = viewOf(room.name);
  return known?.room === room ? known : new View(room, unread);
}

async function invited(name) {
  await refreshRooms();
  if (viewOf(name)) return;
  const { newest } = await follow(name, 1);
  if (newest.length) notify(newest.at(-1));
  later(drawRooms);
}

function say(words) {
  $("banner").textContent = words;
  $("banner").hidden = !words;
}

/** Say why nothing can be sent for now; "" if it can. */
function troubled(words) {
  trouble = words;
  say(words);
  later(drawTyping);
}

// Panels

/** Open a panel, or close what is open if "" is given. Returns what was open. */
function open(id) {
  const was = document.querySelector(".open");
  if (was?.contains(document.activeElement)) $(BUTTONS[was.id]).focus();
  for (const [panel, button] of Object.entries(BUTTONS)) {
    $(panel).classList.toggle("open", panel === id);
    $(button).ariaExpanded = panel === id;
  }
  if (id) $(id).querySelector("input, a[href]")?.focus();
  return was;
}

for (const [panel, button] of Object.entries(BUTTONS)) {
  $(button).onclick = () => open($(panel).classList.contains("open") ? "" : panel);
  $(panel).onclick = ({ target }) => target.closest("a") && open("");
}
$("shade").onclick = () => open("");

// Coming and going

const LOST = "No connection: trying again.";
const LATER = "What you write is sent once it is back.";

function start(options) {
  const client = new Client(options);
  page.client = client;
  const inside = () => !$("chat").hidden;
  client.on("state", (state) => {
    if (state === "open" && inside()) {
      troubled("");
      refreshRooms();
      page.view?.refresh();
    } else if (state === "open") client.user ? come() : knock("", true);
    else if (state === "lost") inside() ? troubled(`${LOST} ${LATER}`) : knock(LOST, false);
  });
  client.on("link", (up) => troubled(up ? "" : `The broker is away. ${LATER}`));
  client.on("invited", ({ room }) => invited(room));
  client.on("error", (error) => {
    if (client.state !== "closed") say(error.message);
    else if (inside()) troubled(told(error));
    else {
      localStorage.removeItem("zchat.user");
      knock(options.user || options.token ? told(error) : "", false);
    }
  });
}

function knock(refused, watch) {
  $("door").hidden = false;
  $("chat").hidden = true;
  $("refused").textContent = refused;
  $("watch").hidden = !watch;
  $("name").select();
}

async function come() {
  const { client } = page;
  if (client.user) localStorage.setItem("zchat.user", client.user);
  $("door").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = client.user ?? "Reading";
  drawBell();
  const asked = wanted();
  if (asked) join(asked).catch(() => {}); // on the way together with the list; `enter` says what fails
  const listed = client.rooms();
  clock(new Date()); // what takes a while is done while the gateway answers
  page.rooms = await listed;
  const busiest = page.rooms.filter(({ name }) => !name.startsWith("@")).sort((one, other) => other.members - one.members)[0];
  await enter(asked || busiest?.name || "General");
  const read = page.rooms.filter(({ name, unread }) => unread !== null && !viewOf(name)).slice(0, MOST_ROOMS);
  for (const { name } of read) follow(name).catch(() => {}); // what one takes part in; of the rest the list tells
  setInterval(() => document.hidden || refreshRooms(), POLL);
}

$("login").onsubmit = (event) => {
  event.preventDefault();
  page.client.close();
  start({ user: $("name").value.trim() });
};
$("watch").onclick = come;
$("out").onclick = () => {
  localStorage.removeItem("zchat.user");
  location.reload();
};

// What is typed, and where one goes

$("compose").onsubmit = (event) => {
  event.preventDefault();
  const words = text.value.trim();
  if (!words || !page.view) return;
  page.view.draft = text.value = "";
  page.view.write(words);
};
$("compose").onmousedown = (event) => event.target === text || event.preventDefault(); // a phone's keyboard stays
text.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("compose").requestSubmit();
};
text.oninput = () => {
  const { view } = page;
  if (view) view.room.type(!!(view.draft = text.value));
};
$("finder").onsubmit = (event) => {
  event.preventDefault();
  if (!typed()) return;
  location.hash = infoOf(typed()) ? place(typed()) : /** @type {any} */ (document.querySelector("nav li a")).hash;
  $("find").value = "";
  later(drawRooms);
};
$("find").oninput = drawRooms;
$("skip").onclick = (event) => {
  event.preventDefault(); // an address is a room's here
  text.focus();
};
$("notice").querySelector("button").onclick = () => enter(page.view.room.name);

addEventListener("keydown", (event) => {
  const { key, altKey, ctrlKey, metaKey } = event;
  if (key === "Escape" && !open("")) newest();
  else if (key === "k" && (ctrlKey || metaKey)) {
    event.preventDefault();
    if ($("menu").offsetParent) open("rooms");
    $("find").focus();
  } else if (altKey && (key === "ArrowUp" || key === "ArrowDown")) {
    event.preventDefault();
    const all = [.../** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("nav li a"))];
    const at = all.findIndex(({ hash }) => hash === location.hash); // the mark of the current one is drawn later
    all[at + (key === "ArrowUp" ? -1 : 1)]?.click();
  }
});
addEventListener("hashchange", () => wanted() && wanted() !== page.view?.room.name && enter(wanted()));
addEventListener("beforeunload", (event) => {
  if ([...page.views.values()].some((each) => each.waiting.size || each.draft)) event.preventDefault();
});
document.addEventListener("visibilitychange", () => page.view?.read());

const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) history.replaceState(null, "", "#");
start(token ? { token } : { user: localStorage.getItem("zchat.user") ?? undefined });

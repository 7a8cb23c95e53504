/** What the parts of the page share: who is connected, which rooms there are, and the frame in which all is drawn. */

export const page = {
  /** @type {import("./zchat.js").Client} */
  client: null,
  /** The rooms of the broker, as it lists them. @type {import("./types").RoomInfo[]} */
  rooms: [],
  /** The rooms that are followed, by their names in small letters. @type {Map<string, import("./view.js").View>} */
  views: new Map(),
  /** The room that is shown. @type {import("./view.js").View | null} */
  view: null,
};

/** @param {string} name */
export const viewOf = (name) => page.views.get(name.toLowerCase());

/** @param {string} name */
export const infoOf = (name) => page.rooms.find((each) => each.name.toLowerCase() === name.toLowerCase());

/** The address of a room in the page. @param {string} name */
export const place = (name) => `#${encodeURIComponent(name)}`;

/** @type {Set<() => void>} */
const due = new Set();

/** Draw something in the next frame, once, however often it changes until then. @param {() => void} draw */
export function later(draw) {
  if (!due.size) document.hidden ? setTimeout(drawAll, 250) : requestAnimationFrame(drawAll);
  due.add(draw);
}

function drawAll() {
  const all = [...due];
  due.clear();
  for (const draw of all) draw();
}

/** Notifications of mentions and direct messages, once one has asked for them. */

import { place } from "./page.js";
import { $, plain } from "./text.js";

const able = "Notification" in window;
const wished = () => able && localStorage.getItem("zchat.notify") && Notification.permission === "granted";

export function drawBell() {
  $("bell").hidden = !able;
  $("bell").ariaPressed = String(!!wished());
}

/** Show a message, which leads to its room. */
export function notify({ room, user, body }) {
  if (!wished()) return;
  const where = room.startsWith("@") ? "" : ` in ${room}`;
  try {
    const shown = new Notification(plain(user + where), { body: plain(String(body)).slice(0, 200), tag: room });
    shown.onclick = () => (focus(), (location.hash = place(room)), shown.close());
  } catch {
    // a phone's browser has them for service workers alone
  }
}

$("bell").onclick = async () => {
  if (wished()) localStorage.removeItem("zchat.notify");
  else if ((await Notification.requestPermission()) === "granted") localStorage.setItem("zchat.notify", "yes");
  drawBell();
};

/** What others wrote, as nodes: by `textContent` alone, so that nothing of it is ever markup. */

const LINK_OR_CODE = /```\n?([^]+?)```|`([^`\n]+)`|https?:\/\/[^\s\p{C}\ufffd<>"`]+/giu;
const ENDS_A_SENTENCE = /(?:[.,:;!?'*_\]}]|\)(?<!\([^()]*\)))+$/;
const MISLEADING = /[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]/g; // controls, and what turns the text around
const UNSEEN = /\p{C}/gu; // control, format and bidi characters: harmless in a page, not in a title
const FEW_EMOJI = /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{RI}\u200d\ufe0f\s]{1,20}$/u;

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** Return a name that can't change the direction of what stands beside it. */
export const name = (text) => make("bdi", "", text);

/** Return a text for where there are no nodes. */
export const plain = (text) => text.replace(UNSEEN, "");

export function avatar(user) {
  let hue = 0;
  for (const character of user.toLowerCase()) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 360;
  const [first, second = ""] = plain(user).split(/[\s._-]+/);
  const letters = [...first].slice(0, second ? 1 : 2).join("") + [...second].slice(0, 1);
  const element = make("span", "avatar", letters.toUpperCase());
  element.style.setProperty("--hue", `${hue * 137}`);
  element.ariaHidden = "true";
  return element;
}

/** Return a message as a row; if it stands `alone`, and not after another one of its user, with who wrote it, and when. */
export function message({ user, time: at, body, coded = false }, alone) {
  const row = make("div", alone ? "message alone" : "message");
  if (alone) row.append(avatar(user), make("div", "head", name(user), time(at)));
  else row.append(time(at), make("span", "hidden", name(user), ": "));
  row.append(said(body, coded));
  return row;
}

function said(body, coded) {
  if (coded) return make("div", "body", make("code", "", `${Math.floor(body.length * 0.75)} bytes of data`));
  if (typeof body !== "string") return make("div", "body", make("pre", "", JSON.stringify(body, null, 1)));
  const words = body.replace(MISLEADING, "\ufffd");
  const element = make("div", FEW_EMOJI.test(words) ? "body jumbo" : "body");
  element.dir = "auto";
  let from = 0;
  for (const found of words.matchAll(LINK_OR_CODE)) {
    const [whole, block, code] = found;
    const quoted = block ?? code;
    const shown = quoted ? whole : whole.replace(ENDS_A_SENTENCE, "");
    const node = quoted ? make(block ? "pre" : "code", "", quoted.trimEnd()) : link(shown);
    element.append(words.slice(from, found.index), node);
    from = found.index + shown.length;
  }
  element.append(words.slice(from));
  return element;
}

function link(address) {
  if (!URL.canParse(address)) return address;
  const element = make("a", "", address);
  element.href = address;
  element.dir = "ltr";
  element.rel = "noopener nofollow noreferrer";
  element.target = "_blank";
  return element;
}

let hours = null;

/** Return the time of day. The first one takes some 20 ms, as the browser reads how it is written. */
export const clock = (at) => (hours ??= new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" })).format(at);

function time(at) {
  const element = make("time", "", clock(at));
  element.title = at.toLocaleString();
  return element;
}

/** Return a day as people say it. */
export function day(at) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  return ["Today", "Yesterday"][days] ?? at.toLocaleDateString([], { dateStyle: "full" });
}

/** Return when something ends, with the day unless it is today. */
export function until(seconds) {
  const at = new Date(seconds * 1000);
  return (day(at) === "Today" ? "" : `${day(at)}, `) + clock(at);
}

/** Return whether a message has somebody's name in it, as a word. */
export function mentions({ body, user }, own) {
  if (!own || typeof body !== "string" || user === own) return false;
  const word = own.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}])${word}(?![\\p{L}\\p{N}])`, "iu").test(body);
}

/** Return what went wrong, and until when by the person's clock. @param {{ message: string, until?: number | null }} error */
export function told({ message, until: end }) {
  return message.charAt(0).toUpperCase() + message.slice(1) + (end ? ` (until ${until(end)} by your clock)` : "");
}

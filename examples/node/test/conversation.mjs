// Plays a conversation with a client: what a broker says, and what the client must say and give its application.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { decode, encode } from "@msgpack/msgpack";
import { plain, valueOf } from "./vectors.mjs";

// Let what was promised be kept.
export const settled = () => new Promise((resolve) => setImmediate(resolve));

export async function play({ steps }, client) {
  const bound = new Map();
  const fits = (form, value) => {
    const [kind, name] = form !== null && typeof form === "object" && !Array.isArray(form) ? Object.entries(form)[0] : [];
    if (kind === "any") return bound.set(name, value);
    if (kind === "is") return value === bound.get(name);
    if (kind === "same") {
      if (!bound.has(name)) bound.set(name, value);
      return isDeepStrictEqual(plain(bound.get(name)), plain(value));
    }
    if (kind === "above") {
      if (value <= (bound.get(name) ?? 0)) return false;
      return bound.set(name, value);
    }
    try {
      assert.deepEqual(plain(kind === "bodies" ? decode(value) : value), plain(valueOf(kind === "bodies" ? name : form)));
      return true;
    } catch {
      return false;
    }
  };
  const filled = (form) => {
    if (Array.isArray(form)) return form.map(filled);
    return form !== null && typeof form === "object" && "is" in form ? bound.get(form.is) : valueOf(form);
  };
  for (const [number, step] of steps.entries()) {
    const [[kind, what]] = Object.entries(step);
    const where = `step ${number}: ${JSON.stringify(step)}`;
    if (kind === "client") {
      const said = await client.said();
      assert.ok(said, `the client says nothing; ${where}`);
      what.forEach((form, index) => assert.ok(fits(form, said[index]), `${JSON.stringify(plain(said))}; ${where}`));
    } else if (kind === "broker") await client.say(encode(filled(what)));
    else if (kind === "join") await client.join(what.room, what.position, what.flags);
    else if (kind === "leave") await client.leave(what);
    else if (kind === "ask") await client.ask(what[0], valueOf(what.slice(1)));
    else if (kind === "close") await client.close();
    else if (kind === "send") await client.send(what.room, what.bodies);
    else if (kind === "take") assert.deepEqual(await client.take(what.room, what.messages.length), what.messages, where);
    else if (kind === "gap") assert.deepEqual(await client.takeGap(what.room), what, where);
    else if (kind === "position") assert.deepEqual(await client.position(what.room), what.is, where);
    else if (kind === "stored") assert.deepEqual(await client.outcome(), what, where);
    else if (kind === "refused") assert.deepEqual(await client.outcome(), { code: what.code, unknown: what.unknown ?? false }, where);
    else if (kind === "answer") assert.deepEqual(plain(await client.answer()), plain(filled(what)), where);
    else if (kind === "left") assert.equal(await client.left(), what, where);
    else if (kind === "over") assert.equal(await client.over(what.room), what.code, where);
    else if (kind === "unjoined") assert.equal(await client.unjoined(), what, where);
    else if (kind === "lost") await client.lose();
    else if (kind === "ended") assert.equal(await client.ended(), what, where);
    else throw new Error(where);
  }
  assert.ok(await client.quiet(), "the client says more");
}

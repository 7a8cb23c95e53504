import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Client } from "../../../zchat/web/static/zchat.js";
import { World, messages, rows, settled } from "./world.mjs";

const bodies = (found) => found.map(({ body }) => body);

/** Return a world, a client that is let in, and a room of 10 messages that it has joined. */
async function inGeneral(fields = {}) {
  const world = new World();
  const client = new Client({ user: "alice" });
  await world.socket.welcome();
  const joining = client.join("general", fields);
  await world.socket.answer("join", { room: "General", position: "7:10", members: 2 });
  const room = await joining;
  const taken = [];
  room.on("message", ({ seq, body }) => taken.push([seq, body]));
  return { world, client, room, taken };
}

/** Lose the connection, and make the next one, in which the room is joined again. */
async function again(world, fields) {
  await world.socket.lose();
  await world.pass(10_000);
  const hello = await world.socket.welcome(fields);
  const join = await world.socket.answer("join", { room: "General", position: "7:10", members: 2 });
  return { hello, join };
}

/** Watch a promise: what it came to, or undefined as long as it waits. */
function outcome(promise) {
  const found = {};
  promise.then((value) => (found.value = value), (error) => (found.error = error));
  return found;
}

test("the socket is beside the page, and nothing is asked before the greeting is answered", async () => {
  const world = new World();
  const client = new Client({ user: "alice" });
  const listed = client.rooms();
  assert.equal(world.socket.url, "ws://chat.example/some/ws");
  assert.equal(client.state, "connecting");
  world.socket.onopen();
  await settled();
  assert.deepEqual(world.socket.sent, [{ op: "hello", id: 0, version: 1, user: "alice", session: null }]);
  await world.socket.say({ op: "ok", id: 0, user: "alice", session: "s", resumed: false, window: 16, beat: 20_000, max: 9 });
  assert.equal(client.state, "open");
  assert.equal(client.user, "alice");
  world.socket.sent.shift();
  await world.socket.answer("rooms", { rooms: [{ name: "General" }], more: true });
  const second = await world.socket.answer("rooms", { rooms: [{ name: "Ops" }], more: false });
  assert.equal(second.after, "General");
  assert.deepEqual((await listed).map(({ name }) => name), ["General", "Ops"]);
});

test("a list that takes more commands than the gateway takes at once goes on when it takes the next", async () => {
  const world = new World();
  const client = new Client({ user: "alice" });
  await world.socket.welcome();
  const listed = client.rooms();
  await world.socket.answer("rooms", { rooms: [{ name: "a" }], more: true });
  await world.socket.refuse("rooms", { code: "too_fast", retryable: true, after: 50 });
  await world.pass(50);
  assert.equal((await world.socket.answer("rooms", { rooms: [{ name: "b" }], more: false })).after, "a");
  assert.equal((await listed).length, 2);
});

test("a joined room has the newest messages, and then those that come, with the position after them", async () => {
  const world = new World();
  const client = new Client({ user: "alice" });
  await world.socket.welcome();
  const joining = client.join("general", { history: 2 });
  assert.equal(client.join("GENERAL"), joining);
  const answer = { room: "General", position: "7:10", members: 3, rows: rows(9, "i", "j"), more: true };
  const command = await world.socket.answer("join", answer);
  assert.equal(command.history, 2);
  const room = await joining;
  assert.deepEqual([room.name, room.position, room.members, room.more], ["General", "7:10", 3, true]);
  assert.deepEqual(bodies(room.recent), ["i", "j"]);
  const found = [];
  const end = room.on("message", (message) => found.push(message));
  await world.socket.say(messages(11, "k", { l: 1 }));
  end();
  await world.socket.say(messages(13, "m"));
  assert.deepEqual(found[1], {
    room: "General", seq: 12, time: new Date(1_700_000_000_000), user: "bob", body: { l: 1 }, coded: false,
  });
  assert.equal(found.length, 2);
  assert.equal(room.position, "7:13");
});

test("over a lost connection a room goes on after its position, under the session's name", async () => {
  const { world, client, room, taken } = await inGeneral({ history: 50 });
  const states = [];
  client.on("state", (state) => states.push(state));
  await world.socket.say(messages(11, "a", "b"));
  const { hello, join } = await again(world, { resumed: true });
  assert.equal(hello.session, "s");
  assert.equal(join.after, "7:12");
  assert.equal(join.history, undefined);
  await world.socket.say(messages(13, "c"));
  assert.deepEqual(taken, [[11, "a"], [12, "b"], [13, "c"]]);
  assert.equal(room.position, "7:13");
  assert.deepEqual(states, ["lost", "open"]);
});

test("what a connection says once it was given up is not heard", async () => {
  const { world, taken } = await inGeneral();
  const old = world.socket;
  await again(world);
  await old.say(messages(11, "late"));
  assert.deepEqual(taken, []);
});

test("frames are acknowledged when half a window is taken, by a count that begins with the join; gaps count and events don't", async () => {
  const { world } = await inGeneral();
  for (let seq = 11; seq < 18; seq++) await world.socket.say(messages(seq, "x"));
  await world.socket.say({ op: "event", room: "General", kind: "MemberJoined", user: "carol" });
  assert.deepEqual(world.socket.sent, []);
  await world.socket.say({ op: "gap", room: "General", after: 17, upto: 20, reason: "trimmed", position: "7:20" });
  assert.deepEqual(world.socket.next("ack"), { op: "ack", room: "General", taken: 8 });
  for (let seq = 21; seq < 29; seq++) await world.socket.say(messages(seq, "x"));
  assert.equal(world.socket.next("ack").taken, 16);
  for (let seq = 29; seq < 33; seq++) await world.socket.say(messages(seq, "x"));
  await again(world);
  for (let seq = 33; seq < 41; seq++) await world.socket.say(messages(seq, "x"));
  assert.equal(world.socket.next("ack").taken, 8);
});

test("messages are sent one after the other, and each resolves when it is stored", async () => {
  const { world, room } = await inGeneral();
  const first = room.send("one");
  const second = outcome(room.send("two"));
  await settled();
  assert.equal(world.socket.sent.length, 1);
  const { key } = await world.socket.answer("send", { seq: 11, time: 1_700_000_000_000_000 });
  assert.match(key, /^[0-9-]{4,44}$/);
  assert.deepEqual(await first, { seq: 11, time: new Date(1_700_000_000_000) });
  assert.equal(second.value, undefined);
  assert.notEqual((await world.socket.answer("send", { seq: 12, time: 0 })).key, key);
  assert.equal(second.value.seq, 12);
});

test("what was not answered is asked again under its key, once the room is joined, if the session is known", async () => {
  const { world, room } = await inGeneral();
  const sent = outcome(room.send("once"));
  await settled();
  const { key } = world.socket.next("send");
  await world.socket.lose();
  await world.pass(10_000);
  await world.socket.welcome({ resumed: true });
  const join = world.socket.next("join");
  assert.deepEqual(world.socket.sent, []);
  await world.socket.say({ op: "ok", id: join.id, room: "General", position: "7:10", members: 2 });
  assert.equal((await world.socket.answer("send", { seq: 11, time: 0 })).key, key);
  assert.equal(sent.value.seq, 11);
});

test("what was written while there was no connection is sent once there is one, whoever the gateway is", async () => {
  const { world, room } = await inGeneral();
  await world.socket.lose();
  const sent = outcome(room.send("later"));
  await again(world, { resumed: false });
  await world.socket.answer("send", { seq: 11, time: 0 });
  assert.equal(sent.value.seq, 11);
});

test("of a gateway that is gone a message is found in the log, and not sent again", async () => {
  const { world, room } = await inGeneral();
  const sent = outcome(room.send({ b: [1] }));
  await settled();
  world.socket.next("send");
  await again(world, { resumed: false });
  const command = await world.socket.answer("history", { rows: rows(11, { b: [1] }, "x"), more: true });
  assert.equal(command.after, 10);
  const mine = [13, 1_700_000_000_000_000, "alice", { b: [1] }];
  assert.equal((await world.socket.answer("history", { rows: [mine], more: false })).after, 12);
  assert.deepEqual(sent.value, { seq: 13, time: new Date(1_700_000_000_000) });
  assert.deepEqual(world.socket.sent, []);
});

test("if the log doesn't show it, its outcome is unknown, and what was written after it is sent", async () => {
  const { world, room } = await inGeneral();
  const lost = outcome(room.send("lost"));
  const next = outcome(room.send("next"));
  await settled();
  world.socket.next("send");
  await again(world, { resumed: false });
  await world.socket.answer("history", { rows: rows(11, "lost"), more: false }); // bob's
  assert.equal(lost.error.code, "outcome_unknown");
  assert.equal(lost.error.retryable, false);
  assert.equal((await world.socket.answer("send", { seq: 12, time: 0 })).body, "next");
  assert.equal(next.value.seq, 12);
});

test("an equal message that was stored before is not taken for it", async () => {
  const { world, room } = await inGeneral();
  const first = room.send("yes");
  await settled();
  await world.socket.answer("send", { seq: 11, time: 0 });
  await first;
  const second = outcome(room.send("yes"));
  await settled();
  world.socket.next("send");
  await again(world, { resumed: false });
  assert.equal((await world.socket.answer("history", { rows: [], more: false })).after, 11);
  assert.equal(second.error.code, "outcome_unknown");
});

test("a log that has grown much is not searched to its end", async () => {
  const { world, room } = await inGeneral();
  const sent = outcome(room.send("lost"));
  await settled();
  world.socket.next("send");
  await again(world, { resumed: false });
  for (let page = 0; page < 10; page++) await world.socket.answer("history", { rows: rows(11 + page, "x"), more: true });
  assert.equal(sent.error.code, "outcome_unknown");
});

test("what comes too fast, or while the broker is away, is sent again later under its key; order is kept", async () => {
  const { world, room } = await inGeneral();
  const slowed = [];
  room.on("slowed", ({ until }) => slowed.push(until - world.now));
  const first = outcome(room.send("one"));
  void room.send("two");
  await settled();
  const { key } = await world.socket.refuse("send", { code: "too_fast", retryable: true, after: 3_000 });
  await world.pass(2_999);
  assert.deepEqual(world.socket.sent, []);
  await world.pass(1);
  assert.equal((await world.socket.refuse("send", { code: "outcome_unknown", retryable: true })).key, key);
  await world.socket.say({ op: "link", up: false });
  await world.pass(1_000);
  assert.deepEqual(world.socket.sent, []);
  await world.socket.say({ op: "link", up: true });
  const command = await world.socket.answer("send", { seq: 11, time: 0 });
  assert.deepEqual([command.key, command.body], [key, "one"]);
  assert.equal(first.value.seq, 11);
  assert.equal(world.socket.next("send").body, "two");
  assert.deepEqual(slowed, [3_000, 1_000]);
});

test("what is refused fails with its code, its text, and until when", async () => {
  const { world, room } = await inGeneral();
  const sent = outcome(room.send("one"));
  await settled();
  await world.socket.refuse("send", { code: "muted", text: "you are muted", until: 1_700_000_600 });
  const { code, message, retryable, until } = sent.error;
  assert.deepEqual([code, message, retryable, until], ["muted", "you are muted", false, 1_700_000_600]);
  const large = outcome(room.send("ä".repeat(40_000)));
  await settled();
  assert.equal(large.error.code, "message_too_large");
  assert.deepEqual(world.socket.sent, []);
});

for (const [random, share] of [[0, 0.5], [0.999999, 1]]) {
  test(`attempts to connect wait 200 ms, doubled up to 10 s, times ${share} at least or most`, async () => {
    const world = new World();
    world.random = random;
    new Client();
    for (const doubled of [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
      const count = world.sockets.length;
      await world.socket.lose();
      await world.pass(Math.floor(doubled * share) - 1);
      assert.equal(world.sockets.length, count);
      await world.pass(2);
      assert.equal(world.sockets.length, count + 1);
    }
    await world.socket.welcome();
    await world.socket.lose();
    await world.pass(201);
    assert.equal(world.sockets.length, 10);
  });
}

test("a gateway's farewell says when to connect again, and so does its word that it was much too fast", async () => {
  const world = new World();
  new Client({ user: "alice" });
  await world.socket.welcome();
  await world.socket.say({ op: "bye", text: "the gateway shuts down", retry: 4_321 });
  await world.socket.lose(1012);
  await world.pass(4_320);
  assert.equal(world.sockets.length, 1);
  await world.pass(1);
  assert.equal(world.sockets.length, 2);
  await world.socket.lose(4029);
  await world.pass(9_999);
  assert.equal(world.sockets.length, 2);
  await world.pass(1);
  assert.equal(world.sockets.length, 3);
});

for (const [code, word] of [[4001, "not_let_in"], [4002, "malformed"], [4003, "superseded"], [1009, "too large"]]) {
  test(`a connection that is closed by ${code} is not made again, and what waits fails with the reason`, async () => {
    const { world, client, room } = await inGeneral();
    const errors = [];
    client.on("error", (error) => errors.push(error.message));
    const sent = outcome(room.send("one"));
    await settled();
    await world.socket.lose(code, word);
    assert.equal(client.state, "closed");
    assert.equal(sent.error.message, word);
    assert.deepEqual(errors, [word]);
    await world.pass(60_000);
    assert.equal(world.sockets.length, 1);
    assert.equal(world.listens("online"), false);
    await assert.rejects(client.rooms(), { code: "closed" });
  });
}

test("who is not let in is told why", async () => {
  const world = new World();
  const client = new Client({ user: "eve" });
  const errors = [];
  client.on("error", ({ code, message, until }) => errors.push([code, message, until]));
  world.socket.onopen();
  await settled();
  await world.socket.say({ op: "error", id: 0, code: "banned", text: "you are banned", retryable: false, until: 5 });
  assert.deepEqual(errors, []);
  await world.socket.lose(4001);
  assert.deepEqual(errors, [["banned", "you are banned", 5]]);
});

test("a token is asked for anew for each connection", async () => {
  const world = new World();
  let number = 0;
  new Client({ token: async () => `token ${++number}` });
  assert.equal((await world.socket.welcome()).token, "token 1");
  await world.socket.lose();
  await world.pass(200);
  assert.equal((await world.socket.welcome()).token, "token 2");
});

test("without a token that is to be had, the connection is made again later", async () => {
  const world = new World();
  let number = 0;
  const client = new Client({ token: async () => (++number === 2 ? "token" : Promise.reject(new Error("offline"))) });
  world.socket.onopen();
  await settled();
  assert.deepEqual([client.state, world.socket.closed !== null, world.sockets.length], ["lost", true, 1]);
  await world.pass(200);
  assert.equal((await world.socket.welcome()).token, "token");
  assert.equal(client.state, "open");
});

test("one and a half beats of silence end a connection, and anything that is heard counts", async () => {
  const { world, client } = await inGeneral();
  await world.pass(29_000);
  await world.socket.say({ op: "something new" });
  await world.pass(29_999);
  assert.equal(client.state, "open");
  await world.pass(1);
  assert.equal(client.state, "lost");
  assert.equal(world.sockets[0].closed, 1005);
});

test("a greeting that isn't answered within 10 s ends a connection", async () => {
  const world = new World();
  new Client();
  world.socket.onopen();
  await world.pass(9_999);
  assert.equal(world.sockets.length, 1);
  await world.pass(201);
  assert.equal(world.sockets.length, 2);
});

test("a page that is online or seen again connects at once", async () => {
  const world = new World();
  const client = new Client();
  await world.socket.lose();
  world.visibility = "hidden";
  await world.happens("visibilitychange");
  assert.equal(world.sockets.length, 1);
  world.visibility = "visible";
  await world.happens("visibilitychange");
  await world.happens("online");
  assert.equal(world.sockets.length, 2);
  await world.pass(1_000);
  assert.equal(world.sockets.length, 2);
  client.close();
  assert.equal(world.listens("online"), false);
});

test("a room that one is put out of has ended, what waits for it fails, and it can be joined again", async () => {
  const { world, client, room } = await inGeneral();
  const removed = [];
  room.on("removed", ({ room, code, reason, by, until }) => removed.push({ room, code, reason, by, until }));
  const sent = outcome(room.send("one"));
  await settled();
  world.socket.next("send");
  const end = { room: "General", code: "kicked", reason: "spam", by: "bob", until: null };
  await world.socket.say({ op: "removed", ...end });
  assert.deepEqual(removed, [end]);
  assert.deepEqual([sent.error.code, sent.error.message], ["kicked", "spam"]);
  await assert.rejects(room.send("two"), { code: "kicked" });
  const joining = client.join("General");
  await world.socket.answer("join", { room: "General", position: "7:12", members: 1 });
  assert.notEqual(await joining, room);
});

test("a room that can't be joined again has ended; one that can't be for now is tried until it can", async () => {
  const { world, room } = await inGeneral();
  const removed = [];
  room.on("removed", ({ code, until }) => removed.push([code, until]));
  await world.socket.lose();
  await world.pass(200);
  await world.socket.welcome();
  await world.socket.refuse("join", { code: "busy", retryable: true, after: 500 });
  await world.pass(500);
  assert.equal((await world.socket.refuse("join", { code: "banned", until: 9 })).after, "7:10");
  assert.deepEqual(removed, [["banned", 9]]);
  await world.pass(20_000);
  assert.deepEqual(world.socket.sent, []);
});

test("a room that can't be joined can be tried again", async () => {
  const world = new World();
  const client = new Client({ user: "alice" });
  await world.socket.welcome();
  const refused = outcome(client.join("Ops", { create: false }));
  assert.equal((await world.socket.refuse("join", { code: "no_such_room" })).create, false);
  assert.equal(refused.error.code, "no_such_room");
  void client.join("Ops");
  world.socket.next("join");
});

for (const [one, other] of [["Straße", "STRASSE"], ["@Straße", "@STRASSE"], ["ΛΌΓΟΣ", "λόγοσ"]]) {
  const said = (seq, ...bodies) => ({ ...messages(seq, ...bodies), room: one });
  const answer = { room: one, position: "7:10", members: 2 };

  test(`a room that is joined as ${one} and as ${other} is one object, which reads on where it was`, async () => {
    const world = new World();
    const client = new Client({ user: "alice" });
    await world.socket.welcome();
    const joining = client.join(one, { watch: true });
    await world.socket.answer("join", answer);
    const room = await joining;
    const taken = [];
    room.on("message", ({ seq, body }) => taken.push([seq, body]));
    await world.socket.say(said(11, "a"));
    const same = outcome(client.join(other, { history: 5 }));
    await world.socket.answer("join", { ...answer, position: "7:12", rows: rows(12, "b") });
    await world.socket.say(said(13, "c"), { op: "event", room: one, kind: "MemberJoined", user: "carol" });
    const { room: name, after, history, watch } = await world.socket.answer("join", { ...answer, members: 3 });
    assert.deepEqual([name, after, history, watch], [one, "7:11", undefined, true]);
    await world.socket.say(said(12, "b", "c"));
    assert.equal(same.value, room);
    assert.deepEqual([taken, room.members], [[[11, "a"], [12, "b"], [13, "c"]], 3]);
    for (let seq = 14; seq < 21; seq++) await world.socket.say(said(seq, "x"));
    assert.deepEqual(world.socket.sent, [{ op: "ack", room: one, taken: 8 }]);
    world.socket.next("ack");

    const left = room.leave();
    await world.socket.answer("leave");
    await left;
    const anew = client.join(other);
    await world.socket.answer("join", answer);
    assert.notEqual(await anew, room);
  });

  test(`so it is if ${one} and ${other} are joined at once`, async () => {
    const world = new World();
    const client = new Client({ user: "alice" });
    await world.socket.welcome();
    const rooms = [outcome(client.join(one)), outcome(client.join(other))];
    for (let join = 0; join < 3; join++) await world.socket.answer("join", answer);
    assert.equal(rooms[0].value, rooms[1].value);
    const taken = [];
    rooms[1].value.on("message", ({ body }) => taken.push(body));
    await world.socket.say(said(11, "a"));
    assert.deepEqual([taken, world.socket.sent], [["a"], []]);
  });
}

test("a connection that is lost while a room is joined joins it over the next one, once", async () => {
  const world = new World();
  const client = new Client({ user: "alice" });
  await world.socket.welcome();
  const joining = outcome(client.join("General", { after: "start" }));
  world.socket.next("join");
  await world.socket.lose();
  await world.pass(200);
  await world.socket.welcome();
  const command = await world.socket.answer("join", { room: "General", position: "0:0", members: 1 });
  assert.equal(command.after, "start");
  assert.equal(joining.value.position, "0:0");
  assert.deepEqual(world.socket.sent, []);
});

test("a log that begins anew is read on with its new seqs, and marked anew", async () => {
  const { world, room, taken } = await inGeneral();
  const gaps = [];
  room.on("gap", ({ room, after, upto, reason }) => gaps.push({ room, after, upto, reason }));
  room.markRead();
  assert.equal(world.socket.next("mark").seq, 10);
  await world.socket.say({ op: "gap", room: "General", after: 10, upto: 0, reason: "reset", position: "8:0" });
  await world.socket.say({ ...messages(1, "anew"), position: "8:1" });
  assert.deepEqual(gaps, [{ room: "General", after: 10, upto: 0, reason: "reset" }]);
  assert.deepEqual(taken, [[1, "anew"]]);
  room.markRead();
  assert.equal(world.socket.next("mark").seq, 1);
});

test("how far a room is read goes forward alone, and is said again over the next connection", async () => {
  const { world, room } = await inGeneral();
  room.markRead(9);
  room.markRead(8);
  assert.deepEqual(world.socket.next("mark"), { op: "mark", room: "General", seq: 9 });
  await world.socket.lose();
  room.markRead(10);
  await world.pass(200);
  await world.socket.welcome();
  await world.socket.answer("join", { room: "General", position: "7:10", members: 2 });
  assert.equal(world.socket.next("mark").seq, 10);
  assert.deepEqual(world.socket.sent, []);
});

test("typing is shown to the others once in 3 s, and that it has ended", async () => {
  const { world, room } = await inGeneral();
  room.type(false);
  room.type();
  room.type();
  await world.pass(3_000);
  room.type();
  room.type(false);
  assert.deepEqual(world.socket.sent.map(({ active }) => active), [true, true, false]);
});

test("who comes, goes, types and reads is known, without one's own typing", async () => {
  const { world, room } = await inGeneral();
  const heard = [];
  for (const kind of ["joined", "left", "typing", "read", "crowd"]) room.on(kind, (value) => heard.push([kind, value.user ?? value.members, value.active ?? value.seq]));
  const say = (kind, fields) => world.socket.say({ op: "event", room: "General", kind, ...fields });
  await say("MemberJoined", { user: "carol" });
  await say("Typing", { user: "carol", active: true });
  await say("Typing", { user: "alice", active: true });
  assert.deepEqual([room.members, [...room.typing]], [3, ["carol"]]);
  await world.socket.say({ ...messages(11), rows: [[11, 0, "carol", "done"]] });
  assert.deepEqual([...room.typing], []);
  await say("ReadMark", { user: "carol", seq: 11 });
  await say("MemberLeft", { user: "carol" });
  await say("Crowd", { members: 900, typing: 3, caught_up: 5 });
  await say("SomethingNew", { user: "carol" });
  assert.equal(room.members, 900);
  assert.deepEqual(heard, [
    ["joined", "carol", undefined],
    ["typing", "carol", true],
    ["read", "carol", 11],
    ["left", "carol", undefined],
    ["crowd", 900, undefined],
  ]);
});

test("a room that was left is over, and its messages are heard no more", async () => {
  const { world, room, taken } = await inGeneral();
  const sent = outcome(room.send("one"));
  await settled();
  world.socket.next("send");
  const left = room.leave();
  await world.socket.answer("leave");
  await left;
  await world.socket.say(messages(11, "late"));
  assert.deepEqual(taken, []);
  assert.equal(sent.error.code, "not_a_member");
});

test("a room that is left while it waits to be joined again is not joined", async () => {
  const { world, room } = await inGeneral();
  await world.socket.lose();
  await world.pass(200);
  await world.socket.welcome();
  await world.socket.refuse("join", { code: "busy", retryable: true, after: 500 });
  const left = room.leave();
  await world.socket.answer("leave");
  await left;
  await world.pass(20_000);
  assert.deepEqual([world.socket.sent, room.joined], [[], false]);
});

for (const refused of ["", "busy", "banned"]) {
  test(`a room that is left while it is joined again stays left, ${refused || "though it is joined"}`, async () => {
    const { world, room } = await inGeneral();
    const removed = [];
    room.on("removed", ({ code }) => removed.push(code));
    room.markRead();
    world.socket.next("mark");
    await world.socket.lose();
    await world.pass(200);
    await world.socket.welcome();
    const { id } = world.socket.next("join");
    const left = outcome(room.leave());
    const { id: last } = world.socket.next("leave"); // it is written after the join
    const answer = { op: "ok", room: "General", position: "7:10", members: 2 };
    const refusal = { op: "error", code: refused, text: refused, retryable: refused === "busy" };
    await world.socket.say({ id, ...(refused ? refusal : answer) }, { op: "ok", id: last });
    await world.pass(20_000);
    assert.deepEqual([world.socket.sent, room.joined, removed, "value" in left], [[], false, [], true]);
    await assert.rejects(room.send("late"), { code: "not_a_member" });
  });
}

test("invitations, the broker's absence and refusals of what has no answer are heard", async () => {
  const { world, client } = await inGeneral();
  const heard = [];
  for (const kind of ["invited", "link", "error"]) client.on(kind, (value) => heard.push(value.message ?? value.user ?? value));
  await world.socket.say({ op: "invited", room: "@bob", user: "bob" }, { op: "link", up: false });
  await world.socket.say({ op: "error", code: "too_fast", text: "too fast", retryable: true, after: 100 }, { op: "beat" });
  assert.deepEqual(heard, ["bob", false, "too fast"]);
});

test("a listener that fails keeps nothing from the others, nor from the gateway", async (context) => {
  const { world, room, taken } = await inGeneral();
  const complaint = context.mock.method(console, "error", () => {});
  room.on("message", () => {
    throw new Error("a listener's fault");
  });
  for (let seq = 11; seq < 19; seq++) await world.socket.say(messages(seq, "x"));
  assert.equal(taken.length, 8);
  assert.equal(complaint.mock.callCount(), 8);
  assert.equal(world.socket.next("ack").taken, 8);
});

test("the log is read in both directions, and bodies that JSON can't hold say so", async () => {
  const { world, room } = await inGeneral();
  const asked = room.history({ before: 5, limit: 2 });
  const row = [3, 0, "bob", "xAEA", 1];
  const command = await world.socket.answer("history", { rows: [row, ...rows(4, "d")], more: true });
  assert.deepEqual([command.before, command.limit, command.after], [5, 2, undefined]);
  assert.deepEqual((await asked).map(({ seq, body, coded }) => [seq, body, coded]), [[3, "xAEA", true], [4, "d", false]]);
});

test("each frame of the vectors is taken, and each row is the message that it stands for", async (context) => {
  const vectors = JSON.parse(readFileSync(new URL("../../vectors/web.json", import.meta.url)));
  const complaint = context.mock.method(console, "error", () => {});
  const { world, room, taken } = await inGeneral();
  await world.socket.say({ op: "messages", room: room.name, rows: vectors.rows.map(({ row }) => row), position: "7:7" });
  assert.equal(JSON.stringify(taken), JSON.stringify(vectors.rows.map(({ row }) => [7, row[3]])));
  for (const { frame } of vectors.frames) await world.socket.say(frame);
  assert.equal(complaint.mock.callCount(), 0);
});

test("half of a surrogate pair becomes U+FFFD in all that is sent, and is found so in the log", async () => {
  const { world, client, room } = await inGeneral();
  const cut = "aaaaaaaaa😀 rest".slice(0, 10);
  const sent = outcome(room.send([cut, { x: cut, n: null, ok: "😀\\ud83d" }]));
  await settled();
  const said = "aaaaaaaaa\ufffd";
  const { body } = world.socket.sent[0];
  assert.deepEqual(body, [said, { x: said, n: null, ok: "😀\\ud83d" }]);
  await again(world, { resumed: false });
  await world.socket.answer("history", { rows: [[11, 5, "alice", body]], more: false });
  assert.equal(sent.value.seq, 11);
  client.join(cut);
  client.members(cut);
  await settled();
  assert.deepEqual([world.socket.next("join").room, world.socket.next("members").room], [said, said]);
});

test("what the gateway can't take fails that call alone", async () => {
  const { world, client, room } = await inGeneral();
  const [wrong, right] = [outcome(room.send(undefined)), outcome(room.send("right"))];
  await settled();
  assert.deepEqual(Object.keys(await world.socket.refuse("send", { code: "malformed" })), ["id", "op", "room", "key"]);
  await world.socket.answer("send", { seq: 11, time: 5 });
  assert.deepEqual([wrong.error.code, right.value.seq, client.state], ["malformed", 11, "open"]);
});

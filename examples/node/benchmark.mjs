// What a client in JavaScript makes with a broker: node benchmark.mjs URL [MESSAGES] [ROUNDS]
//
// Messages of 100 bytes. Medians over the rounds; each in a room of its own.

import { Client } from "./client.mjs";

const [url, messages = "200000", rounds = "5"] = process.argv.slice(2);
const count = Number(messages), text = "x".repeat(100), WAITING = 8_000, SINGLE = 500;

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const rate = (from) => Math.round((count / (performance.now() - from)) * 1_000);
const thousands = (values) => `${median(values).toLocaleString("en")} (${values[0].toLocaleString("en")} to ${values.at(-1).toLocaleString("en")})`;

async function sendAll(room) {
  let waiting = [];
  for (let sent = 0; sent < count; sent += WAITING / 2) {
    const part = [];
    for (let index = sent; index < Math.min(count, sent + WAITING / 2); index++) part.push(room.send(text));
    await Promise.all(waiting);
    waiting = part;
  }
  await Promise.all(waiting);
}

async function readAll(room) {
  let read = 0;
  while (read < count) {
    for await (const message of room) {
      if (message.body.length !== text.length) throw new Error("another message");
      if ((read += 1) === count) return;
    }
  }
}

const found = { acknowledged: [], live: [], caught: [], history: [], single: [] };
for (let round = 0; round < Number(rounds); round++) {
  const [alice, bob] = await Promise.all([Client.connect(url, "alice"), Client.connect(url, "bob")]);
  const name = `benchmark ${process.pid} ${round}`;
  const room = await alice.join(name);
  let begun = performance.now();
  await sendAll(room);
  found.acknowledged.push(rate(begun));

  begun = performance.now();
  await readAll(await bob.join(name, { position: [0, 0] }));
  found.caught.push(rate(begun));

  begun = performance.now();
  if ((await bob.history(name, { after: 0, limit: count })).length !== count) throw new Error("not all of the history");
  found.history.push(rate(begun));

  const live = `${name} live`, [one, other] = [await alice.join(live), await bob.join(live)];
  begun = performance.now();
  await Promise.all([sendAll(one), readAll(other)]);
  found.live.push(rate(begun));

  const times = [];
  for (let index = 0; index < SINGLE; index++) {
    begun = performance.now();
    await one.send(text);
    times.push(performance.now() - begun);
  }
  found.single.push(Math.round(median(times) * 1_000));
  await Promise.all([alice.close(), bob.close()]);
}
console.log(`acknowledged a second         ${thousands(found.acknowledged)}`);
console.log(`delivered live a second       ${thousands(found.live)}  (sender and reader in one process)`);
console.log(`caught up a second            ${thousands(found.caught)}`);
console.log(`history a second              ${thousands(found.history)}`);
console.log(`one at a time, microseconds   ${thousands(found.single)}`);

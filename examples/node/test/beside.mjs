// One side of a conversation with a client in another language: `node beside.mjs minimal|whole URL COUNT`.
//
// Sends "node 0", "node 1" … to the room "both", and receives "python 0", "python 1" … from it. Prints what was wrong.

import { Client as Minimal } from "../minimal.mjs";
import { Client } from "../client.mjs";

const BLOCK = 50;
const [kind, url, text] = process.argv.slice(2);
const count = Number(text);
const wrong = [];
let next = 0, last = 0, done;
const received = new Promise((resolve) => (done = resolve));

function take({ seq, user, body, gap, reason }) {
  if (gap ?? reason) wrong.push(`a gap: ${gap ?? reason}`);
  else if (user !== "python" || body !== `python ${next}`) wrong.push(`${user}: ${body} in place of python ${next}`);
  else if (seq <= last) wrong.push(`${seq} after ${last}`);
  last = seq;
  next += 1;
  if (next === count) done();
}

const block = (first) => Array.from({ length: Math.min(BLOCK, count - first) }, (_, index) => `node ${first + index}`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let stored = 0;

async function send(sendBlock) {
  for (let first = 0; first < count; first += BLOCK) {
    const seq = await sendBlock(block(first));
    if (!(seq > stored)) wrong.push(`stored at ${seq} after ${stored}`);
    stored = seq;
    await pause(5);
  }
}

if (kind === "minimal") {
  const client = new Minimal(url, "node");
  client.join("both", take, [0, 0]);
  await Promise.all([send((bodies) => client.send("both", bodies)), received]);
  await pause(200);
  client.close();
} else {
  const client = await Client.connect(url, "node");
  const room = await client.join("both", { position: [0, 0] });
  (async () => {
    for await (const message of room) take(message);
  })();
  await Promise.all([send(async (bodies) => (await Promise.all(bodies.map((body) => room.send(body))))[0].seq), received]);
  await pause(200);
  const log = await client.history("both", { after: 0, limit: 2 * count + 1 });
  if (log.length !== 2 * count || log.some(({ seq }, index) => seq !== index + 1)) wrong.push(`the log has ${log.length}`);
  if (log.filter(({ own }) => own).length !== count) wrong.push("the log has another number of own messages");
  await client.close();
}
if (next !== count) wrong.push(`${next} messages came`);
console.log(JSON.stringify(wrong.slice(0, 10)));

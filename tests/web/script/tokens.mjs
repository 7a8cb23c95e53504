/** Compare the tokens of two folders' modules: `node tokens.mjs WRITTEN SERVED`. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { tokenizer } from "acorn";

const [written, served] = process.argv.slice(2);
const tokens = (folder, name) => {
  const source = readFileSync(`${folder}/${name}`, "utf8");
  return [...tokenizer(source, { ecmaVersion: "latest", sourceType: "module" })].map(({ start, end }) => source.slice(start, end));
};
const names = readdirSync(served);
assert(names.includes("zchat.js"));
for (const name of names) assert.deepEqual(tokens(served, name), tokens(written, name), name);

// Makes build/ticket.wasm of ticket.js: `npm run build`.

import { mkdir, writeFile } from "node:fs/promises";

import { componentize } from "@bytecodealliance/componentize-js";

// Nothing of WASI: a plugin needs no clock and no files. While you look for a mistake, `node build.js --wasi` makes a
// plugin that may print: `console.log` goes to its log.
const unused = ["random", "stdio", "clocks", "http", "fetch-event"];
const printing = ["http", "fetch-event"];

const { component } = await componentize({
  sourcePath: "ticket.js",
  witPath: "../../plugin-sdk/wit/v1",
  worldName: "transform-plugin",
  disableFeatures: process.argv.includes("--wasi") ? printing : unused,
});
await mkdir("build", { recursive: true });
await writeFile("build/ticket.wasm", component);

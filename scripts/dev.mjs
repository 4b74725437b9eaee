// npm start, npm test, npm run setup and npm run lock. This file runs on any Node, to say which one is needed.
const major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  process.stderr.write(`Node 22 is needed (20 still does); this is ${process.version}.\n`);
  process.exit(1);
}
await import("./dev/main.mjs");

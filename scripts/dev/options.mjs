// What `npm start` takes, to refuse a slip of the pen at once: before anything is installed for it. A test compares the
// lists with local/options.py and lifecycle/publish.py.
import { createRequire } from "node:module";
import { Problem } from "./run.mjs";

const OWN = ["-h", "--help", "--model", "--bundle", "--samples", "--port", "--s3-port", "--engine", "--stage", "--front", "--concurrency", "--set", "--strict", "--package", "--json-logs"];
/** What goes on to `publish`, which makes a bundle of any other model: all of its options but those about a place in S3. */
const PUBLISHED = ["--labels", "--preprocessing", "--size", "--trained-with", "--against", "--pixels", "--filter", "--resize", "--color", "--scores", "--top-k", "--serving", "--sample", "--input", "--output", "--quantize", "--yes"];
const HELP = "All options: npm start -- --help";

export function checkOptions(args) {
  const [first] = args;
  // npm keeps an option that comes before the lone --, and leaves us its value.
  if (first && !first.startsWith("-")) throw new Problem(`No option before ${first}; did you mean npm start -- ${/^\d+$/.test(first) ? "--port" : "--model"} ${first}? ${HELP}`);
  const known = [...OWN, ...PUBLISHED];
  for (const name of args.filter((one) => /^(--|-[a-z]$)/i.test(one)).map((one) => one.split("=")[0])) {
    if (known.includes(name)) continue;
    const { nearest } = createRequire(import.meta.url)("../../tools/parameters/check.js");
    const near = name.startsWith("--") && nearest(name, known);
    throw new Problem(`No option ${name}${near ? `; did you mean ${near}?` : "."} ${HELP}`);
  }
}

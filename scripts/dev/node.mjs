// node_modules: the framework, which reads serverless.yml, and what packaging and the page's tests need.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT, Problem, capture, env, step } from "./run.mjs";

const STAMP = join(PROJECT, "node_modules", ".stamp");

/** Make node_modules what package-lock.json says. */
export async function readyNode() {
  const wanted = createHash("sha256").update(readFileSync(join(PROJECT, "package-lock.json"))).digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return;
  const npm = env.npm_execpath ? [process.execPath, env.npm_execpath] : ["npm"];
  if (!capture(npm[0], [...npm.slice(1), "--version"]).ok) throw new Problem("npm is needed, and was not found. It comes with Node from nodejs.org; Debian and Ubuntu have it in the package npm.");
  await step("Installing Node packages", npm[0], [...npm.slice(1), "ci", "--no-audit", "--no-fund"]);
  writeFileSync(STAMP, wanted);
}

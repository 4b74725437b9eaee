// One installation at a time in one checkout: two first starts at once would write into the same folders.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./run.mjs";

const LOCK = join(PROJECT, "build", "setup.lock");

function holder() {
  try {
    const pid = Number(readFileSync(LOCK, "utf8"));
    process.kill(pid, 0); // asks only whether it is there
    return pid;
  } catch (error) {
    return error.code === "EPERM" ? -1 : undefined;
  }
}

/** Do `work` while nobody else installs here; waits for whoever does, and takes over from one that died. */
export async function alone(work) {
  mkdirSync(join(PROJECT, "build"), { recursive: true });
  for (let told = false; ; told = true) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (holder() === undefined) {
        rmSync(LOCK, { force: true });
        continue;
      }
      if (!told) process.stderr.write("Another npm start or npm test is installing here: waiting for it ...\n");
      await new Promise((resolve) => { setTimeout(resolve, 500); });
    }
  }
  try {
    return await work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

// One installation at a time in one checkout: two first starts at once would write into the same folders.
import { mkdirSync, readFileSync, rmSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./run.mjs";

const LOCK = join(PROJECT, "build", "setup.lock");
const CLEARING = `${LOCK}.clearing`;
const OLD_MS = 10_000; // nobody takes that long between two calls here

const old = (path) => Date.now() - statSync(path, { throwIfNoEntry: false })?.mtimeMs > OLD_MS;

function isHeld() {
  try {
    const pid = Number(readFileSync(LOCK, "utf8"));
    if (pid === 0) return !old(LOCK); // made, and not written yet
    process.kill(pid, 0); // asks only whether it is there
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Remove a dead one's lock. One process at a time: a second one would remove the lock of whoever came after the first. */
function clear() {
  try {
    mkdirSync(CLEARING);
  } catch {
    if (old(CLEARING)) rmSync(CLEARING, { recursive: true, force: true });
    return;
  }
  try {
    if (!isHeld()) rmSync(LOCK, { force: true });
  } finally {
    rmdirSync(CLEARING);
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Do `work` while nobody else installs here; waits for whoever does, and takes over from one that died. */
export async function alone(work) {
  mkdirSync(join(PROJECT, "build"), { recursive: true });
  for (let told = false; ;) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (!isHeld()) {
        clear();
        await pause(10);
        continue;
      }
      if (!told) process.stderr.write("Another npm start or npm test is installing here: waiting for it ...\n");
      told = true;
      await pause(500);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

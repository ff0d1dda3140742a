// What every item held after every step, from the changes alone.

/** Return one history per item, the core's included, in the order in which they first appeared. */
function histories(steps) {
  const found = new Map();
  steps.forEach((step, index) => {
    for (const change of step.changes) {
      const id = change.memory_id;
      if (!found.has(id)) found.set(id, { id, versions: [] });
      found.get(id).versions.push({ step: index, change, text: textAfter(change) });
    }
  });
  return found;
}

/** Return the text after a change, null if the item went. */
function textAfter(change) {
  if (change.kind === "deleted") return null;
  return change.parts.map(([kind, text]) => (kind === "-" ? "" : text)).join("");
}

/** Return the version that holds after a step; undefined if there had been none yet. */
function versionAt(history, step) {
  const versions = history.versions;
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (versions[middle].step <= step) low = middle + 1;
    else high = middle;
  }
  return versions[low - 1];
}

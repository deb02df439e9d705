/** The name that was probably meant: within two edits, or a third of the word's length; undefined if none. */
export function nearest(wrong: string, names: readonly string[]): string | undefined {
  const scored = names.map((name) => ({ name, edits: distance(wrong, name) }))
  const best = scored.toSorted((a, b) => a.edits - b.edits)[0]
  return best && best.edits <= Math.max(2, wrong.length / 3) ? best.name : undefined
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j]! + (char === b[j] ? 0 : 1), row[j + 1]! + 1, next[j]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** Breadth first through every world that can be reached, so that what is found is found by its shortest way. */
import {
  type Cells,
  doing,
  epochOf,
  firstWorld,
  isSettled,
  moves,
  standingIn,
  violation,
  violationBetween,
  type World,
} from './model.ts'

export interface Exploration {
  readonly worlds: number
  readonly moves: number
  /** What must not be, and the moves that lead there; undefined where it was not found. */
  readonly found: { readonly what: string; readonly way: readonly string[] } | undefined
  /** Worlds from which working engines and one coordinator do not come to one open side, and the way into the first. */
  readonly stuck: { readonly count: number; readonly way: readonly string[] } | undefined
  /** `switchover draining`, …: what a coordinator was seen doing. */
  readonly states: ReadonlySet<string>
  /** What both notes said together. */
  readonly standings: ReadonlySet<string>
  readonly epochs: ReadonlySet<number>
}

/** `ignore`: kinds of violation that are not looked for, by the beginning of their words. */
export function explore(world: World, ignore = '-'): Exploration {
  const known = new Map<string, number>()
  const queue: Cells[] = []
  const parents: number[] = []
  const labels: string[] = []
  /** The move that is wanted most: what a world does where nothing goes wrong. -1: none is wanted. */
  const onward: number[] = []
  const settled: boolean[] = []
  const states = new Set<string>()
  const standings = new Set<string>()
  const epochs = new Set<number>()
  let count = 0
  const way = (id: number): string[] => {
    const path: string[] = []
    for (let at = id; at > 0; at = parents[at]!) path.push(labels[at]!)
    return path.reverse()
  }
  const seen = (found: Exploration['found'], stuck: Exploration['stuck']): Exploration => ({
    worlds: queue.length,
    moves: count,
    found,
    stuck,
    states,
    standings,
    epochs,
  })
  const add = (cells: Cells, parent: number, label: string): number => {
    const key = Buffer.from(cells.buffer).toString('latin1')
    const id = known.get(key)
    if (id !== undefined) return id
    known.set(key, queue.length)
    queue.push(cells)
    parents.push(parent)
    labels.push(label)
    return queue.length - 1
  }
  add(firstWorld(world), -1, '')
  for (let id = 0; id < queue.length; id++) {
    const cells = queue[id]!
    for (const state of doing(cells)) states.add(state)
    standings.add(standingIn(cells).kind)
    epochs.add(epochOf(cells))
    const what = violation(cells, world)
    if (what !== undefined && !what.startsWith(ignore)) return seen({ what, way: way(id) }, undefined)
    let best = 0
    let next = -1
    let broken: Exploration['found']
    moves(cells, world, (label, wanted, after) => {
      count += 1
      const between = violationBetween(cells, after)
      if (between !== undefined && !between.startsWith(ignore))
        broken ??= { what: between, way: [...way(id), label] }
      const reached = add(after, id, label)
      if (wanted <= best) return
      best = wanted
      next = reached
    })
    if (broken !== undefined) return seen(broken, undefined)
    settled.push(isSettled(cells, world))
    onward.push(next)
  }
  const lost = stuckWorlds(onward, settled)
  return seen(undefined, lost.length === 0 ? undefined : { count: lost.length, way: way(lost[0]!) })
}

/** Each world has one way on: those whose way ends in no settled world, or in a circle. */
function stuckWorlds(onward: readonly number[], settled: readonly boolean[]): number[] {
  const [UNKNOWN, ON_THE_WAY, GOOD, BAD] = [0, 1, 2, 3]
  const verdicts = new Uint8Array(onward.length)
  settled.forEach((is, id) => {
    if (is) verdicts[id] = GOOD
  })
  const lost: number[] = []
  for (let id = 0; id < onward.length; id++) {
    const path: number[] = []
    let at = id
    while (at !== -1 && verdicts[at] === UNKNOWN) {
      verdicts[at] = ON_THE_WAY
      path.push(at)
      at = onward[at]!
    }
    const verdict = at !== -1 && verdicts[at] === GOOD ? GOOD : BAD
    for (const passed of path) verdicts[passed] = verdict
    if (verdicts[id] === BAD) lost.push(id)
  }
  return lost
}

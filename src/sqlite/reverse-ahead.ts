import type { ReverseTable, RowPatch } from '../core/reverse.ts'

/** Pages up to here are read before the lock is taken; those of a larger batch come while it is held. */
const AHEAD_BYTES = 16 * 1024 * 1024

/** Pages of one sequence: some that were read, and the rest. */
interface Pages<T> {
  readonly read: T[]
  readonly rest: AsyncIterator<T>
  done: boolean
}

/** The tables' pages in their order, as far as memory goes before anybody asks for them. */
export class ReadAhead implements AsyncDisposable {
  readonly #gone: Pages<readonly string[]>[] = []
  readonly #patches: Pages<readonly RowPatch[]>[] = []
  #bytes = 0

  static async of(tables: readonly ReverseTable[]): Promise<ReadAhead> {
    const ahead = new ReadAhead()
    try {
      for (const table of tables) {
        ahead.#gone.push(await ahead.#read(table.gone(), (key) => key.length * 2))
        ahead.#patches.push(await ahead.#read(table.patches(), weigh))
      }
    } catch (error) {
      await ahead[Symbol.asyncDispose]()
      throw error
    }
    return ahead
  }

  gone(table: number): AsyncIterable<readonly string[]> {
    return follow(this.#gone[table])
  }

  patches(table: number): AsyncIterable<readonly RowPatch[]> {
    return follow(this.#patches[table])
  }

  async #read<T>(
    source: AsyncIterable<readonly T[]>,
    weight: (row: T) => number,
  ): Promise<Pages<readonly T[]>> {
    const pages: Pages<readonly T[]> = { read: [], rest: source[Symbol.asyncIterator](), done: false }
    while (this.#bytes < AHEAD_BYTES) {
      const next = await pages.rest.next()
      if (next.done === true) {
        pages.done = true
        break
      }
      pages.read.push(next.value)
      for (const row of next.value) this.#bytes += weight(row)
    }
    return pages
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pages of [...this.#gone, ...this.#patches]) {
      if (!pages.done) await pages.rest.return?.()
      pages.done = true
    }
  }
}

const OBJECT_BYTES = 64

function weigh({ key, values, misfits }: RowPatch): number {
  return [...values, ...misfits].reduce(
    (sum, [, text]) => sum + OBJECT_BYTES + (text?.length ?? 0) * 2,
    OBJECT_BYTES + key.length * 2,
  )
}

async function* follow<T>(pages: Pages<T> | undefined): AsyncIterable<T> {
  if (pages === undefined) throw new Error('a table that is not in the batch')
  yield* pages.read.splice(0)
  while (!pages.done) {
    const next = await pages.rest.next()
    if (next.done === true) pages.done = true
    else yield next.value
  }
}

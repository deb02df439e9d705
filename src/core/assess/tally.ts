import { type ColumnFacts, TRAITS, type Trait } from './facts.ts'
import { integerTraits, realTraits, textTraits } from './traits.ts'

const EXAMPLES = 3
const PLACE = new Map<Trait, number>(TRAITS.map((trait, index) => [trait, index]))

/** Counts the values of one column as they pass. `key` names the row, and is asked only for the first of a trait. */
export class ColumnTally {
  readonly #counts = new Float64Array(TRAITS.length)
  readonly #examples: (string[] | undefined)[] = []
  #key: () => string = () => ''
  #longest = 0
  #bytes = 0
  #min: bigint | number | undefined
  #max: bigint | number | undefined

  readonly #add = (trait: Trait): void => {
    const place = PLACE.get(trait) as number
    const count = (this.#counts[place] as number) + 1
    this.#counts[place] = count
    if (count > EXAMPLES) return
    const examples = this.#examples[place]
    if (examples === undefined) this.#examples[place] = [this.#key()]
    else examples.push(this.#key())
  }

  /** NULL, an integer or a double. */
  plain(value: null | bigint | number, key: () => string): void {
    this.#key = key
    if (value === null) {
      this.#add('null')
      return
    }
    if (typeof value === 'bigint') {
      this.#add('integer')
      integerTraits(value, this.#add)
    } else {
      this.#add('real')
      realTraits(value, this.#add)
    }
    this.#bytes += 8
    if (this.#min === undefined || value < this.#min) this.#min = value
    if (this.#max === undefined || value > this.#max) this.#max = value
  }

  /** Text that is valid; `bytes` in UTF-8. */
  text(value: string, bytes: number, key: () => string): void {
    this.#key = key
    this.#add('text')
    this.#weigh(bytes)
    textTraits(value, this.#add)
  }

  /** Text whose bytes are no UTF-8. */
  invalidText(bytes: number, nul: boolean, key: () => string): void {
    this.#key = key
    this.#add('text')
    this.#weigh(bytes)
    this.#add('invalid_utf8')
    if (nul) this.#add('nul')
  }

  blob(bytes: number, key: () => string): void {
    this.#key = key
    this.#add('blob')
    this.#weigh(bytes)
    if (bytes === 16) this.#add('blob16')
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes
    if (bytes > this.#longest) this.#longest = bytes
  }

  get bytes(): number {
    return this.#bytes
  }

  facts(): ColumnFacts {
    const counts: Partial<Record<Trait, number>> = {}
    const examples: Partial<Record<Trait, readonly string[]>> = {}
    TRAITS.forEach((trait, place) => {
      const count = this.#counts[place] as number
      if (count === 0) return
      counts[trait] = count
      examples[trait] = this.#examples[place] ?? []
    })
    return {
      counts,
      examples,
      longestBytes: this.#longest,
      bytes: this.#bytes,
      min: this.#min?.toString(),
      max: this.#max?.toString(),
    }
  }
}

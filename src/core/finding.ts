/** What assess and the planner have to say of a source, a target, or the pair: for people and for scripts. */

/** blocks: nothing is moved before it is decided; warns: something will be different; info: good to know. */
export type Severity = 'blocks' | 'warns' | 'info'

export interface Finding {
  /** Stable, `snake_case`: people script against it. */
  readonly code: string
  readonly severity: Severity
  /** Names in the source. */
  readonly table?: string | undefined
  readonly column?: string | undefined
  /** Rows or values that it is about. */
  readonly count?: number | undefined
  /** Some of their keys, as `id=7`, or other places. */
  readonly examples?: readonly string[] | undefined
  /** One sentence that names the thing and the reason. */
  readonly message: string
  /** One sentence that says what to do. */
  readonly remedy?: string | undefined
}

/** `1 row`, `3 rows`: for messages. */
export function amount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

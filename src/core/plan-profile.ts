/** What was counted in a table of the source before it is planned. */

/** How often each measure of a column held (see `plan-measures.ts`), by the measure's name. */
export type ColumnProfile = ReadonlyMap<string, number>

/** Groups of rows that would be one row to a unique of the target. */
export interface Duplicates {
  /** Groups, counted up to 10,000, and their rows. */
  readonly groups: number
  readonly rows: number
  /** Some groups, each by the key of its first row. */
  readonly examples: readonly string[]
}

export interface TableProfile {
  readonly columns: ReadonlyMap<string, ColumnProfile>
  /** Whether its declared key holds NULL. */
  readonly nullKeys: boolean
  /** Some keys of the rows in which a measure held, by column and measure. */
  readonly examples?: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>> | undefined
  /** By the name of the target's unique. */
  readonly duplicates?: ReadonlyMap<string, Duplicates> | undefined
  /** The newest text of columns whose values have several spellings. */
  readonly newest?: ReadonlyMap<string, string> | undefined
  /** Types that a copy found to be needed: what counting does not see, as bytes that are no text. */
  readonly widened?: ReadonlyMap<string, string> | undefined
}

/** How often a measure of a column held. */
export function counted(profile: TableProfile | undefined, column: string, measure: string): number {
  return profile?.columns.get(column)?.get(measure) ?? 0
}

/** Keys of some rows in which it held. */
export function examplesOf(
  profile: TableProfile | undefined,
  column: string,
  measure: string,
): readonly string[] {
  return profile?.examples?.get(column)?.get(measure) ?? []
}

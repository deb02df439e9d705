/** What the survey counted: plain data about values, without the values. */

/**
 * What a value can be counted as. Storage classes and widths exclude each other; the formats of text do not: `1` is a
 * decimal and a boolean word.
 */
export const TRAITS = [
  // Storage classes.
  'null',
  'integer',
  'real',
  'text',
  'blob',
  // Integers: the narrowest width that holds it; int53 is what a double holds exactly.
  'int16',
  'int32',
  'int53',
  'int64',
  'zero_or_one',
  'epoch_s',
  'epoch_ms',
  // Reals.
  'real_integral',
  'infinity',
  'julian',
  // Text.
  'empty',
  'iso_date',
  'iso_naive',
  'iso_zoned',
  'iso_time',
  /** Looks like a date or a time and is none: 30 February, hour 24, second 60. */
  'odd_time',
  'zero_date',
  /** What PostgreSQL reads as a time although it is a word: now, today, infinity, … (trap V17). */
  'magic_word',
  /** More than six digits behind the seconds (trap V19). */
  'long_fraction',
  'uuid',
  'hex32',
  /** An object or a list. */
  'json',
  /** A number, a string in quotes, true, false or null. */
  'json_scalar',
  /** JSON with an escaped U+0000, which jsonb refuses. */
  'json_nul',
  'decimal',
  'boolean_word',
  'nul',
  'invalid_utf8',
  // BLOBs.
  'blob16',
] as const
export type Trait = (typeof TRAITS)[number]

export interface ColumnFacts {
  /** How many values have the trait; left out where none. */
  readonly counts: Readonly<Partial<Record<Trait, number>>>
  /** Keys of the first three rows with the trait, as `id=7`. */
  readonly examples: Readonly<Partial<Record<Trait, readonly string[]>>>
  /** Of the longest text or BLOB. */
  readonly longestBytes: number
  readonly bytes: number
  /** Of the numbers, as text: 64 bits are more than a double holds. */
  readonly min: string | undefined
  readonly max: string | undefined
}

export interface TableFacts {
  readonly rows: number
  /** Of the values, without SQLite's own bookkeeping. */
  readonly bytes: number
  readonly columns: ReadonlyMap<string, ColumnFacts>
}

/** How many values of a column have one of these traits. */
export function counted(facts: ColumnFacts | undefined, ...traits: readonly Trait[]): number {
  return traits.reduce((sum, trait) => sum + (facts?.counts[trait] ?? 0), 0)
}

/** Keys of the first rows that have one of these traits, each once, three at the most. */
export function examplesOf(facts: ColumnFacts | undefined, ...traits: readonly Trait[]): string[] {
  return [...new Set(traits.flatMap((trait) => facts?.examples[trait] ?? []))].slice(0, 3)
}

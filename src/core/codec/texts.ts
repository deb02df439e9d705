import { literal } from '../quote.ts'
import { type Codec, copyEscape, exactly } from './sql.ts'

/** Numbers in an untyped column become their text; BLOBs are no text. */
export const text: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'text' THEN ${copyEscape(x)} WHEN 'blob' THEN NULL ELSE CAST(${x} AS TEXT) END`

/** One storage class, so that two keys of SQLite stay two. */
export const textKey: Codec = (x) => `CASE typeof(${x}) WHEN 'text' THEN ${copyEscape(x)} END`

/** PostgreSQL cuts trailing blanks of varchar(n) beyond n in silence, and pads char(n). */
export function textUpTo(length: number): Codec {
  return (x) => `CASE WHEN typeof(${x})='text' AND length(${x})<=${length} THEN ${copyEscape(x)} END`
}

export function textOfLength(length: number): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND length(${x})=${length} AND ${x} NOT GLOB '* ' THEN ${copyEscape(x)} END`
}

/** char(n) for texts that are shorter: its padding is no part of the value. A blank of one's own at the end is lost. */
export function textPadded(length: number): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND length(${x})<=${length} AND ${x} NOT GLOB '* ' THEN ${copyEscape(x)} END`
}

/** Anything as bytes: text as the bytes that SQLite keeps, numbers as their text. */
export const bytea: Codec = (x) => `'\\\\x'||hex(${x})`

export const byteaKey: Codec = (x) => `CASE typeof(${x}) WHEN 'blob' THEN '\\\\x'||hex(${x}) END`

/** Bytes that the source keeps as hexadecimal text, in either case of letters. */
export const byteaHex: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})%2=0 AND ${x} NOT GLOB '*[^0-9a-fA-F]*' THEN '\\\\x'||${x} END`

const HEX = '[0-9a-fA-F]'
const CANONICAL = [8, 4, 4, 4, 12].map((n) => HEX.repeat(n)).join('-')

export const uuid: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})=36 AND ${x} GLOB '${CANONICAL}' THEN ${x} END`

/** 32 digits without hyphens. */
export const uuidHex: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})=32 AND ${x} NOT GLOB '*[^0-9a-fA-F]*' THEN ${x} END`

/** A BLOB of 16 bytes, in the order in which they are written. */
export const uuidBytes: Codec = (x) => `CASE WHEN typeof(${x})='blob' AND length(${x})=16 THEN hex(${x}) END`

/** In a key letters have one case: 'A0…' and 'a0…' are two texts and one uuid. */
export function lowerCase(codec: Codec): Codec {
  return (x) => `CASE WHEN ${exactly(x)}=lower(${x}) THEN ${codec(x)} END`
}

/** What an enum type takes: its labels. */
export function enumOf(labels: readonly string[]): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND ${exactly(x)} IN (${labels.map(literal).join(',')}) THEN ${copyEscape(x)} END`
}

/** What PostgreSQL's types for times take as the time at which it is read (trap V17). */
export const MAGIC = `('now','today','tomorrow','yesterday','allballs','epoch')`

/** Everything else goes as text; PostgreSQL's own input function judges it. Its magic words are no values (V17). */
export const generic: Codec = (x) =>
  `CASE WHEN typeof(${x})='blob' OR trim(lower(${x})) IN ${MAGIC} THEN NULL ` +
  `WHEN typeof(${x})='text' THEN ${copyEscape(x)} ELSE CAST(${x} AS TEXT) END`

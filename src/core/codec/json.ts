import { type Codec, copyEscape } from './sql.ts'

/** json keeps its text as it is, escapes of NUL and of lone surrogates too. */
export const json: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND json_valid(${x}) THEN ${copyEscape(x)} END`

/** Escaped backslashes out of the way: then `\\u0000` is an escape and no text about one. */
function unescaped(x: string): string {
  return `replace(${x},'\\\\','')`
}

const hasNul = (x: string): string => `instr(${unescaped(x)},'\\u0000')`

/**
 * A half of a surrogate pair without the other, which jsonb refuses. The text is split at each `\\ud`; what begins
 * with 8–b is a high half and has to end after its three digits, before a piece that begins with c–f. The split is
 * done by making a JSON list of it, so that the time grows with the length alone.
 */
function hasLoneSurrogate(x: string): string {
  const split = `replace(lower(${unescaped(x)}),'\\ud',char(1))`
  const blanks = [9, 10, 13].reduce((sql, code) => `replace(${sql},char(${code}),' ')`, split)
  const list = `'["'||replace(replace(replace(${blanks},'"',' '),'\\',' '),char(1),'","')||'"]'`
  return (
    `EXISTS (SELECT 1 FROM (SELECT key AS k,substr(value,1,1) AS c,length(value) AS n,` +
    `lag(substr(value,1,1)) OVER w AS pc,lag(length(value)) OVER w AS pn,lag(key) OVER w AS pk,` +
    `lead(substr(value,1,1)) OVER w AS nc FROM json_each(${list}) WINDOW w AS (ORDER BY key)) ` +
    `WHERE k>0 AND ((c IN ('8','9','a','b') AND NOT coalesce(n=3 AND nc IN ('c','d','e','f'),0)) ` +
    `OR (c IN ('c','d','e','f') AND NOT coalesce(pk>0 AND pn=3 AND pc IN ('8','9','a','b'),0))))`
  )
}

/** Of two equal keys of an object jsonb keeps the last. Keys that are all different need no look at their objects. */
const hasDuplicates = (x: string): string =>
  `CASE WHEN (SELECT count(*)=count(DISTINCT key) FROM json_tree(${x}) WHERE typeof(key)='text') THEN 0 ` +
  `ELSE EXISTS (SELECT 1 FROM json_tree(${x}) WHERE typeof(key)='text' GROUP BY parent,key HAVING count(*)>1) END`

const DIGIT = '[0-9]'
const FOUR = DIGIT.repeat(4)

/**
 * Numbers beyond jsonb's numeric, of 131,072 and 16,383 digits: an exponent of four digits, or so many digits. SQLite
 * reads them as infinity or as zero, so that one look at the numbers spares most texts the search.
 */
const hasExtremes = (x: string): string =>
  `CASE WHEN EXISTS (SELECT 1 FROM json_tree(${x}) WHERE atom IN (9e999,-9e999,0.0)) ` +
  `THEN ${x} GLOB '*${DIGIT}[eE]${FOUR}*' OR ${x} GLOB '*${DIGIT}[eE][+-]${FOUR}*' OR octet_length(${x})>131072 ELSE 0 END`

/** A fraction of so many digits in a text that has room for too many. */
const hasLongFraction = (x: string): string =>
  `CASE WHEN octet_length(${x})>16000 THEN ${x} GLOB '*${DIGIT}.${DIGIT.repeat(60)}*' ELSE 0 END`

/**
 * jsonb is kept as a value, not as text: blanks, the order of keys and the spelling of numbers go. What would change
 * the value, or fail, is a misfit. Each close look is taken only where a cheap one finds a reason.
 */
export const jsonb: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND json_valid(${x}) THEN CASE ` +
  `WHEN instr(${x},'\\u') AND ${hasNul(x)} THEN NULL ` +
  `WHEN CASE WHEN instr(${x},'\\ud') OR instr(${x},'\\uD') THEN ${hasLoneSurrogate(x)} ELSE 0 END THEN NULL ` +
  `WHEN CASE WHEN instr(substr(${x},instr(${x},':')+1),':') THEN ${hasDuplicates(x)} ELSE 0 END THEN NULL ` +
  `WHEN ${hasExtremes(x)} THEN NULL WHEN ${hasLongFraction(x)} THEN NULL ELSE ${copyEscape(x)} END END`

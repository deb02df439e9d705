import { bigint, float8, integer, isNegativeZero, smallint } from './numbers.ts'
import { bound, type Codec, copyEscape } from './sql.ts'
import { lowerCase, MAGIC, uuid } from './texts.ts'
import type { ParsedType } from './types.ts'

/** A text as an array's element, quoted where PostgreSQL quotes it. */
function quoted(text: string): string {
  const special = `'*[{}",\\ '||char(9,10,11,12,13)||']*'`
  return (
    `CASE WHEN ${text}='' OR upper(${text})='NULL' OR ${text} GLOB ${special} ` +
    `THEN '"'||replace(replace(${text},'\\','\\\\'),'"','\\"')||'"' ELSE ${text} END`
  )
}

const TEXT = `type='text'`

/** The element of one node of `json_tree`, NULL for a misfit. */
function element(type: ParsedType): string | undefined {
  const { name, size } = type
  switch (name) {
    case 'text':
      return `CASE WHEN ${TEXT} THEN ${quoted('atom')} END`
    case 'character varying':
      return `CASE WHEN ${TEXT}${size === undefined ? '' : ` AND length(atom)<=${size}`} THEN ${quoted('atom')} END`
    case 'smallint':
      return `CASE WHEN type='integer' THEN ${smallint('atom')} END`
    case 'integer':
      return `CASE WHEN type='integer' THEN ${integer('atom')} END`
    case 'bigint':
      return `CASE WHEN type='integer' THEN ${bigint('atom')} END`
    case 'double precision':
      return (
        `CASE WHEN (type='real' AND abs(atom)<9e999) OR (type='integer' AND typeof(atom)='integer') ` +
        `THEN ${float8('atom')} END`
      )
    case 'boolean':
      return `CASE type WHEN 'true' THEN 't' WHEN 'false' THEN 'f' END`
    case 'uuid':
      return `CASE WHEN ${TEXT} THEN ${lowerCase(uuid)('atom')} END`
    default:
      return undefined
  }
}

/** Element types with a rule of their own; any other takes JSON's texts, and what comes back is compared. */
export function hasElementRule(type: ParsedType): boolean {
  return element(type) !== undefined || isNumeric(type)
}

function isNumeric({ name, size }: ParsedType): boolean {
  return name === 'numeric' && size === undefined
}

/** Depth of a node in nested lists. */
const LEVEL = `(length(fullkey)-length(replace(fullkey,'[','')))`

/** Lists of one level have one length, no list but the outermost is empty, and there are six levels at most. */
function rectangular(x: string): string {
  const nested = `instr(substr(${x},instr(${x},'[')+1),'[')=0`
  return (
    `(${nested} OR (NOT EXISTS (SELECT 1 FROM json_tree(${x}) WHERE type='array' GROUP BY ${LEVEL} ` +
    `HAVING min(json_array_length(value))<>max(json_array_length(value)) OR (${LEVEL}>0 AND min(json_array_length(value))=0)) ` +
    `AND 1>=(SELECT count(DISTINCT ${LEVEL}) FROM json_tree(${x}) WHERE type<>'array') ` +
    `AND 6>=(SELECT max(${LEVEL}) FROM json_tree(${x}))))`
  )
}

/** Each test only where the one before has passed: SQLite may ask the parts of an AND in another order. */
const ofList = (x: string, value: string): string =>
  `CASE WHEN typeof(${x})='text' AND json_valid(${x}) THEN CASE WHEN json_type(${x})='array' ` +
  `THEN CASE WHEN ${rectangular(x)} THEN ${value} END END END`

/** A JSON list, or lists in a list, as PostgreSQL writes an array; an object in it is a misfit. */
export function jsonArray(type: ParsedType): Codec {
  // numeric keeps the digits of JSON's text, which SQLite's numbers would not.
  if (isNumeric(type)) {
    return (x) =>
      ofList(
        x,
        `CASE WHEN length(${x})<=16000 AND ${x} NOT GLOB '*[eE]*' AND json(${x}) NOT GLOB '*-0[],]*' ` +
          `AND NOT EXISTS (SELECT 1 FROM json_tree(${x}) WHERE type NOT IN ('array','integer','real','null') ` +
          `OR (type='real' AND ${isNegativeZero('atom')})) ` +
          `THEN replace(replace(replace(json(${x}),'[','{'),']','}'),'null','NULL') END`,
      )
  }
  const item =
    element(type) ?? `CASE WHEN ${TEXT} AND trim(lower(atom)) NOT IN ${MAGIC} THEN ${quoted('atom')} END`
  const piece =
    `CASE WHEN n>coalesce(lag(n) OVER w,-1) THEN '' ELSE substr('}}}}}}',1,lag(n) OVER w-n)||',' END||` +
    `CASE t WHEN 'array' THEN '{' WHEN 'null' THEN 'NULL' ELSE e END`
  return (x) =>
    ofList(
      x,
      bound(
        '_l',
        `(SELECT CASE WHEN count(*)=count(p) THEN group_concat(p,'' ORDER BY i)||substr('}}}}}}',1,max(1,max(n))) END ` +
          `FROM (SELECT i,n,${piece} AS p FROM (SELECT id AS i,${LEVEL} AS n,type AS t,${item} AS e FROM json_tree(${x})) ` +
          `WINDOW w AS (ORDER BY i)))`,
        copyEscape,
      ),
    )
}

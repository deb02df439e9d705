/** The form of `slipway.plan.json`, published as docs/plan.schema.json for editors; the types are those of core/plan-file.ts. */
import { type TSchema, Type } from 'typebox'
import type { CodecName, DuplicatesPolicy, MisfitPolicy, Transform } from '../core/table.ts'

/** The keys of an object that a type forces to be complete. */
function words<const T extends string>(values: Readonly<Record<T, true>>, description: string): TSchema {
  return Type.Enum(Object.keys(values), { description })
}

const codec = words<CodecName>(
  {
    iso: true,
    epoch_s: true,
    epoch_ms: true,
    julian: true,
    words: true,
    hex: true,
    bytes: true,
    json_array: true,
    text: true,
  },
  'How the source spells the values. iso, epoch_s, epoch_ms, julian: times; words: booleans as t, true, yes, 1, …; hex: a uuid without hyphens, or bytes as hexadecimal text; bytes: a uuid as 16 bytes; json_array: an array as a JSON list; text: text that PostgreSQL judges. Left out: what the values show.',
)

const transform = words<Transform>(
  {
    strip_nul: true,
    replace_invalid_utf8: true,
    strip_json_nul: true,
    trim: true,
    empty_as_null: true,
    zero_date_as_null: true,
    truncate_fraction: true,
    round: true,
    cut: true,
  },
  'A change of the value, which is reported.',
)

const misfit = words<MisfitPolicy>(
  { fail: true, widen: true, quarantine: true },
  'What happens to a value that the type cannot hold. fail: it stops; widen: the type is changed, where slipway made the table; quarantine: the row is set aside.',
)

const duplicates = words<DuplicatesPolicy>(
  { fail: true, first: true, last: true },
  'Rows that hold the same value of a unique that only the target has: stop, or keep the one with the lowest or the highest key.',
)

const closed = { additionalProperties: false }
const name = Type.String({ minLength: 1, description: 'Name in the target.' })
const include = Type.Boolean({ description: 'false: it stays behind.' })
const note = Type.String({ description: 'For people; ignored.' })

/** What may stand for a type, with nothing that would end it: it becomes a part of CREATE TABLE. */
const TYPE = '^[\\w\\u0080-\\uffff$." ]+(\\(\\d+( *, *\\d+)?\\))?( with(out)? time zone)?(\\[\\])*$'

const column = Type.Object(
  {
    include: Type.Optional(include),
    note: Type.Optional(note),
    declared: Type.Optional(
      Type.String({ description: 'As the source declares it; where it differs, the plan is out of date.' }),
    ),
    target: Type.Optional(name),
    type: Type.Optional(Type.String({ pattern: TYPE, description: "PostgreSQL's type." })),
    codec: Type.Optional(codec),
    format: Type.Optional(
      Type.String({
        description: 'How the source writes times, for the way back, e.g. YYYY-MM-DDTHH:MM:SS.SSSZ.',
      }),
    ),
    zone: Type.Optional(
      Type.String({ description: 'Zone of times without one, e.g. Europe/Moscow; left out: UTC.' }),
    ),
    transforms: Type.Optional(Type.Array(transform, { description: 'Applied in this order.' })),
    misfit: Type.Optional(misfit),
  },
  closed,
)

const table = Type.Object(
  {
    include: Type.Optional(include),
    note: Type.Optional(note),
    target: Type.Optional(name),
    key: Type.Optional(
      Type.Union([Type.Array(Type.String(), { minItems: 1 }), Type.Enum(['rowid'])], {
        description: 'Columns of the source that identify a row, or "rowid" for a hidden column.',
      }),
    ),
    duplicates: Type.Optional(duplicates),
    existing_rows: Type.Optional(
      Type.Enum(['refuse', 'delete'], {
        description: 'Rows that the target table has before the copy: delete them, or refuse to start.',
      }),
    ),
    columns: Type.Optional(
      Type.Object({}, { additionalProperties: column, description: 'By their names in the source.' }),
    ),
  },
  closed,
)

export const PlanSchema = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    version: Type.Enum([1], { description: 'Version of this form.' }),
    schema: Type.String({ minLength: 1, description: 'Schema of the target.' }),
    tables: Type.Object({}, { additionalProperties: table, description: 'By their names in the source.' }),
  },
  {
    ...closed,
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'slipway.plan.json',
    description:
      'What slipway assess --write-plan proposes and a person edits. What is left out takes the value that slipway would choose.',
  },
)

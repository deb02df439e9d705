/** Shapes of what the API says of rows: quarantine, verify, event history. As in schemas.ts. */
import { type Static, type TSchema, Type } from 'typebox'
import type {
  ChangesReport,
  HistoryEntry,
  QuarantineReport,
  RetryReport,
  VerifyReport,
  VerifyRequest,
} from '../core/operator.ts'

const Text = Type.String()
const Count = Type.Integer({ minimum: 0 })
const Time = Type.String({ format: 'date-time' })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const words = <const T extends string>(values: readonly T[]) => Type.Enum([...values])
/** A number where JSON holds it exactly, else decimal text. */
const position = Type.Union([Type.Number(), Type.String()])
/** By `additionalProperties`: a pattern would miss names with a line break. */
const values = Type.Unsafe<NonNullable<HistoryEntry['after']>>(
  Type.Object({}, { additionalProperties: nullable(Text) }),
)

export const QuarantineSchema = Type.Object(
  {
    direction: words(['forward', 'reverse']),
    total: Count,
    blocking: Type.Integer({ minimum: 0, description: 'Those that a switchover, or a rollback, waits for.' }),
    tables: Type.Array(Type.Object({ table: Text, rows: Count })),
    entries: Type.Array(
      Type.Object({
        table: Text,
        target: Text,
        key: Text,
        column: nullable(Text),
        kind: words(['misfit', 'refused', 'duplicate', 'parent']),
        reason: Text,
        value: nullable(Text),
        blocking: Type.Boolean(),
        since: Time,
        last: Time,
        attempts: Count,
      }),
    ),
  },
  { $id: 'Quarantine', description: 'Rows that are set aside, in the order of tables and keys.' },
)

export const RetrySchema = Type.Object(
  { tried: Count, left: Count },
  { $id: 'Retry', description: 'Rows that were tried again, and how many are still set aside.' },
)

const verifyTable = Type.Object({
  table: Text,
  state: words(['waiting', 'running', 'done']),
  rows_compared: Count,
  rows_expected: Count,
  missing: Count,
  extra: Count,
  different: Count,
  quarantined: Count,
  repaired: Count,
})

export const VerifySchema = Type.Object(
  {
    state: words(['none', 'running', 'done', 'failed', 'interrupted']),
    id: nullable(Type.Integer()),
    reason: Text,
    repair: Type.Boolean(),
    started_at: nullable(Time),
    finished_at: nullable(Time),
    equal: nullable(Type.Boolean()),
    rows_compared: Count,
    mismatched: Count,
    repaired: Count,
    quarantined: Count,
    eta_seconds: nullable(Type.Number()),
    error: nullable(Text),
    tables: Type.Array(verifyTable),
    samples: Type.Array(
      Type.Object({
        table: Text,
        key: Text,
        kind: words(['missing', 'extra', 'different']),
        columns: Type.Array(Type.Object({ column: Text, source: nullable(Text), target: nullable(Text) })),
      }),
    ),
  },
  { $id: 'Verify', description: 'The current run of verify, or the last one.' },
)

export const VerifyRequestSchema = Type.Object(
  {
    tables: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        minItems: 1,
        description: 'Names in the source; all where it is left out.',
      }),
    ),
    repair: Type.Optional(Type.Boolean({ description: 'Transfer what differs once more.', default: false })),
  },
  { additionalProperties: false },
)

export const ChangesSchema = Type.Object(
  {
    history: words(['on', 'off']),
    changes: Type.Array(
      Type.Object({
        position,
        id: position,
        table: Text,
        op: words(['insert', 'update', 'delete']),
        direction: words(['forward', 'reverse']),
        at: Time,
        key: values,
        before: nullable(values),
        after: nullable(values),
      }),
    ),
    next: nullable(position),
  },
  { $id: 'Changes', description: 'A page of the event history.' },
)

/** Query parameters come as text; routes-data.ts reads the numbers and says what is wrong with them. */
const limit = Type.Optional(
  Type.String({ default: '100', description: 'At most so many: a whole number from 1 to 1000.' }),
)
const after = Type.Optional(
  Type.String({ default: '0', description: 'Entries after the one with this id: `next` of the last page.' }),
)
export const LimitSchema = Type.Object({ limit }, { additionalProperties: false })
export const PageSchema = Type.Object({ after, limit }, { additionalProperties: false })

export const Quarantine = Type.Unsafe<QuarantineReport>(Type.Ref('Quarantine'))
export const Retry = Type.Unsafe<RetryReport>(Type.Ref('Retry'))
export const Verify = Type.Unsafe<VerifyReport>(Type.Ref('Verify'))
export const Changes = Type.Unsafe<ChangesReport>(Type.Ref('Changes'))

/** Adding a field to a report without adding it here would drop it from the answer: this fails to compile then. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T
true satisfies Same<Frozen<Static<typeof QuarantineSchema>>, QuarantineReport>
true satisfies Same<Frozen<Static<typeof RetrySchema>>, RetryReport>
true satisfies Same<Frozen<Static<typeof VerifySchema>>, VerifyReport>
true satisfies Same<Frozen<Static<typeof ChangesSchema>>, ChangesReport>
true satisfies Same<keyof Static<typeof VerifyRequestSchema>, keyof VerifyRequest>

/** Shapes of the API's answers, for OpenAPI and for the serializer; the types are those of core/operator.ts. */
import { type Static, type TSchema, Type } from 'typebox'
import { type LagReport, type OperatorEvent, PHASES, type StatusReport } from '../core/operator.ts'
import { Verify } from './schemas-data.ts'
import { fences, Run } from './schemas-switch.ts'

const Text = Type.String()
const Count = Type.Integer({ minimum: 0 })
const Time = Type.String({ format: 'date-time' })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const words = <const T extends string>(values: readonly T[]) => Type.Enum([...values])

const phase = words(PHASES)
const position = Type.Union([Type.Number(), Type.String(), Type.Null()])

const lag = {
  migration: Text,
  phase,
  authority: words(['sqlite', 'postgres', 'none']),
  direction: words(['forward', 'reverse']),
  state: words(['running', 'paused', 'blocked']),
  reasons: Type.Array(Text),
  head: position,
  applied: position,
  pending_changes: Count,
  lag_seconds: nullable(Type.Number()),
  caught_up: Type.Boolean(),
  quarantined: Count,
  measured_at: Time,
}

const table = Type.Object({
  table: Text,
  target: Text,
  state: words(['waiting', 'copying', 'copied']),
  rows_copied: Count,
  rows_expected: Count,
  rows_per_second: nullable(Type.Number()),
  eta_seconds: nullable(Type.Number()),
})

export const LagSchema = Type.Object(lag, {
  $id: 'Lag',
  description: 'How far the target is behind the source.',
})

export const StatusSchema = Type.Object(
  {
    ...lag,
    version: Text,
    epoch: Count,
    source: Type.Object({ path: Text, journal_mode: Text, wal_bytes: Count, changelog_rows: Count }),
    target: Type.Object({ server: Text, schema: Text, server_version: Text }),
    holder: Type.Object({ id: Text, mine: Type.Boolean() }),
    tables: Type.Array(table),
    fences,
    waits: Type.Array(Type.Object({ what: Text, since: Time, until: nullable(Time) })),
    warnings: Type.Array(Text),
    last_error: nullable(Type.Object({ code: Text, message: Text, remedy: nullable(Text), at: Time })),
    backup: nullable(Type.Object({ path: Text, bytes: Count, at: Time })),
    snapshot: nullable(Type.Object({ rows: Count, started_at: nullable(Time), finished_at: nullable(Time) })),
    quarantined_tables: Type.Array(Type.Object({ table: Text, rows: Count })),
    verify: nullable(Verify),
    dirty: Type.Array(Type.Object({ table: Text, reason: Text })),
    authority_since: nullable(Time),
    switchover: nullable(Run),
    rollback_safe: nullable(Type.Object({ safe: Type.Boolean(), reasons: Type.Array(Text) })),
    checklist: Type.Array(Type.Object({ step: Text, done: Type.Boolean(), command: Text })),
  },
  { $id: 'Status', description: 'Everything that the daemon knows of the migration.' },
)

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'urn:slipway:problem: and the code' }),
    title: Text,
    status: Type.Integer(),
    detail: Type.String({ description: 'What happened, in one sentence.' }),
    code: Type.String({ description: 'Stable: script against this one.' }),
    remedy: Type.String({ description: 'What to do.' }),
    reasons: Type.Optional(Type.Array(Text)),
  },
  { $id: 'Problem', description: 'RFC 9457 problem details.' },
)

export const HealthSchema = Type.Object({ ok: Type.Boolean(), version: Text, uptime_seconds: Type.Number() })

export const ReadySchema = Type.Object({ ok: Type.Boolean(), reasons: Type.Array(Text) })

export const PauseSchema = Type.Object(
  {
    reason: Type.String({
      minLength: 1,
      maxLength: 500,
      pattern: '\\S',
      description: 'Shown to everybody who wonders why nothing moves.',
    }),
  },
  { additionalProperties: false },
)

/** Routes answer with these: named in OpenAPI's components, typed as core's interfaces. */
export const Lag = Type.Unsafe<LagReport>(Type.Ref('Lag'))
export const Status = Type.Unsafe<StatusReport>(Type.Ref('Status'))

/** Adding a field to a report without adding it here would drop it from the answer: this fails to compile then. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T
true satisfies Same<Frozen<Static<typeof LagSchema>>, LagReport>
true satisfies Same<Frozen<Static<typeof StatusSchema>>, StatusReport>
true satisfies Same<
  Frozen<Static<typeof table>>,
  Extract<OperatorEvent, { type: 'progress' }>['tables'][number]
>
